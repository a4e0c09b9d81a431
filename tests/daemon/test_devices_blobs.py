"""Blobs over the real device port: what a device may read and write, in which parts, and for how long."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import SECONDS, Identity, Link, RefusedError, link

from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.bundles import BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import (
    ConflictError,
    EdgeloopError,
    MessageError,
    NotFoundError,
    TransferError,
    UnauthorizedError,
)
from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import FileAnnounced, TaskFinished

MODEL = secrets.token_bytes(3_000_000)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        root = running.workspace.root
        (root / "task.py").write_text("print(1)")
        (root / "model.mnn").write_bytes(MODEL)
        (root / "empty.txt").touch()
        yield running


async def begin(daemon: DeviceDaemon, linked: Link) -> tuple[Run, RunTask]:
    run = await daemon.runs.start(
        daemon.workspace, "task.py", ("model.mnn",), device=linked.identity.id, include=("empty.txt",)
    )
    return run, await linked.accept()


async def announce(linked: Link, run: Run, content: bytes, name: str = "out.bin", size: int | None = None) -> None:
    announced = FileAnnounced(name, sha(content), len(content) if size is None else size)
    await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, announced))


async def refusal(linked: Link, method: str, sha256: str, **options: object) -> tuple[int, type[EdgeloopError]]:
    with pytest.raises(RefusedError) as refused:
        await linked.ask(method, sha256, **options)
    return refused.value.status, type(refused.value.error)


async def test_a_bundle_is_read_by_its_manifest(daemon: DeviceDaemon, linked: Link) -> None:
    _, task = await begin(daemon, linked)
    content, headers, status = await linked.ask("GET", task.manifest)
    assert (status, len(content)) == (200, task.manifest_bytes)
    assert "Content-Encoding" not in headers
    manifest = decode_json(BundleManifest, content, max_bytes=10**6)
    assert {file.path: file.size for file in manifest.files} == {"empty.txt": 0, "model.mnn": len(MODEL), "task.py": 8}
    for file in manifest.files:
        content, _, _ = await linked.ask("GET", file.sha256)
        assert sha(content) == file.sha256


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-", 0, 3_000_000),
        ("bytes=2999999-", 2_999_999, 3_000_000),
        ("bytes=1000000-1999999", 10**6, 2 * 10**6),
        ("bytes=5-99999999", 5, 3_000_000),
    ],
)
async def test_a_range_is_read(daemon: DeviceDaemon, linked: Link, wanted: str, start: int, end: int) -> None:
    await begin(daemon, linked)
    content, headers, status = await linked.ask("GET", sha(MODEL), headers={"Range": wanted})
    assert (status, headers["Content-Range"]) == (206, f"bytes {start}-{end - 1}/3000000")
    assert content == MODEL[start:end]


@pytest.mark.parametrize(
    "wanted", ["bytes=3000000-", "bytes=5-4", "bytes=-5", "bytes=0-1,3-4", "lines=1-2", "bytes=a-"]
)
async def test_a_range_that_is_not_there_is_refused(daemon: DeviceDaemon, linked: Link, wanted: str) -> None:
    await begin(daemon, linked)
    status, _ = await refusal(linked, "GET", sha(MODEL), headers={"Range": wanted})
    assert status == 416


async def test_only_blobs_of_its_own_runs_are_read(daemon: DeviceDaemon, linked: Link) -> None:
    secret = await asyncio.to_thread(daemon.blobs.add_bytes, b"somebody else's")
    other = await daemon.pair("other")
    async with link(other) as stranger:
        _, task = await begin(daemon, linked)
        for sha256 in (task.manifest, sha(MODEL), secret):
            assert await refusal(stranger, "GET", sha256) == (404, NotFoundError)
    assert await refusal(linked, "GET", secret) == (404, NotFoundError)


async def test_blobs_of_a_run_that_has_ended_are_not_read_any_more(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, 0))
    await daemon.runs.get(run.id, wait=SECONDS)
    assert await refusal(linked, "GET", sha(MODEL)) == (404, NotFoundError)


async def test_the_bearer_dies_with_the_link(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as earlier:
        _, task = await begin(daemon, earlier)
    async with link(phone, runs=(task.run_id,)) as later:
        assert await refusal(earlier, "GET", task.manifest) == (401, UnauthorizedError)
        await later.ask("GET", task.manifest)


@pytest.mark.parametrize("credentials", ["", "Bearer", "Bearer " + "a" * 43, "Edgeloop x", "bearer x"])
async def test_without_a_bearer_nothing_is_read(daemon: DeviceDaemon, linked: Link, credentials: str) -> None:
    _, task = await begin(daemon, linked)
    headers = {"Authorization": credentials}
    assert await refusal(linked, "GET", task.manifest, headers=headers) == (401, UnauthorizedError)


async def test_a_reported_file_is_uploaded_in_parts(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    content = secrets.token_bytes(2_500_000)
    await announce(linked, run, content)
    assert not (await daemon.runs.get(run.id)).files[0].is_received
    assert await linked.upload(content, end=1_000_000) == 204
    _, headers, _ = await linked.ask("HEAD", sha(content))
    assert headers["Edgeloop-Received"] == "1000000"
    assert await linked.upload(content, start=1_000_000) == 201
    assert (await daemon.runs.get(run.id)).files[0].is_received
    _, path = await daemon.runs.file(run.id, "out.bin")
    assert path.read_bytes() == content
    _, headers, _ = await linked.ask("HEAD", sha(content))
    assert headers["Edgeloop-Received"] == "2500000"


async def test_an_upload_goes_on_over_a_later_link(daemon: DeviceDaemon, phone: Identity) -> None:
    content = secrets.token_bytes(100_000)
    async with link(phone) as earlier:
        run, _ = await begin(daemon, earlier)
        await announce(earlier, run, content)
        await earlier.upload(content, end=50_000)
    async with link(phone, runs=(run.id,)) as later:
        _, headers, _ = await later.ask("HEAD", sha(content))
        assert headers["Edgeloop-Received"] == "50000"
        assert await later.upload(content, start=50_000) == 201


async def test_whoever_asks_for_the_length_of_a_file_while_it_is_completed_gets_one(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run, _ = await begin(daemon, linked)
    for number in range(20):
        content = secrets.token_bytes(50_000)
        await announce(linked, run, content, f"out{number}.bin")

        async def upload(content: bytes) -> int:
            headers = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
            return (await linked.ask("PUT", sha(content), headers=headers, data=content))[2]

        putting = asyncio.create_task(upload(content))
        lengths = set()
        while not putting.done():
            _, headers, _ = await linked.ask("HEAD", sha(content))
            lengths.add(int(headers["Edgeloop-Received"]))
        assert await putting == 201
        assert lengths <= {0, len(content)}


async def test_an_empty_file_is_uploaded(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    await announce(linked, run, b"", "empty")
    assert await linked.upload(b"") == 201
    _, path = await daemon.runs.file(run.id, "empty")
    assert path.read_bytes() == b""


async def test_a_part_that_does_not_go_on_where_the_last_one_ended_is_told_where(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run, _ = await begin(daemon, linked)
    content = b"a" * 1000
    await announce(linked, run, content)
    await linked.upload(content, end=400)
    for start in (0, 300, 500):
        with pytest.raises(RefusedError) as refused:
            await linked.upload(content, start=start)
        assert (refused.value.status, refused.value.headers["Edgeloop-Received"]) == (409, "400")
        assert isinstance(refused.value.error, ConflictError)
    assert await linked.upload(content, start=400) == 201


async def test_bytes_that_are_not_the_announced_ones_are_refused_and_dropped(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run, _ = await begin(daemon, linked)
    content = b"a" * 1000
    await announce(linked, run, content)
    with pytest.raises(RefusedError) as refused:
        await linked.upload(b"b" * 1000, sha256=sha(content))
    assert (refused.value.status, type(refused.value.error)) == (422, TransferError)
    assert not await asyncio.to_thread(daemon.blobs.has, sha(content))
    assert await linked.upload(content) == 201


async def test_only_announced_hashes_are_taken(daemon: DeviceDaemon, linked: Link) -> None:
    await begin(daemon, linked)
    with pytest.raises(RefusedError) as refused:
        await linked.upload(b"surprise")
    assert (refused.value.status, type(refused.value.error)) == (404, NotFoundError)
    assert (await refusal(linked, "HEAD", sha(b"surprise")))[0] == 404


async def test_what_another_device_has_announced_is_not_taken(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    await announce(linked, run, b"mine")
    async with link(await daemon.pair("other")) as stranger:
        with pytest.raises(RefusedError) as refused:
            await stranger.upload(b"mine")
        assert refused.value.status == 404


async def test_to_announce_a_hash_does_not_tell_whether_this_computer_has_the_file(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run, _ = await begin(daemon, linked)
    await asyncio.to_thread(daemon.blobs.add_bytes, b"private")
    await announce(linked, run, b"private")
    _, headers, _ = await linked.ask("HEAD", sha(b"private"))
    assert headers["Edgeloop-Received"] == "0"
    assert not (await daemon.runs.get(run.id)).files[0].is_received


async def test_a_file_that_another_run_of_the_device_has_brought_need_not_come_again(
    daemon: DeviceDaemon, linked: Link
) -> None:
    first, _ = await begin(daemon, linked)
    second, _ = await begin(daemon, linked)
    content = b"the same in both"
    await announce(linked, first, content)
    assert await linked.upload(content) == 201

    await announce(linked, second, content, name="again.bin")

    _, headers, _ = await linked.ask("HEAD", sha(content))  # the device learns that nothing is missing
    assert headers["Edgeloop-Received"] == str(len(content))
    assert (await daemon.runs.get(second.id)).files[0].is_received
    _, path = await daemon.runs.file(second.id, "again.bin")
    assert path.read_bytes() == content


async def test_a_file_that_came_with_the_bundle_need_not_come_back(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    await announce(linked, run, MODEL, "copy.mnn")
    assert (await daemon.runs.get(run.id)).files[0].is_received
    _, headers, _ = await linked.ask("HEAD", sha(MODEL))
    assert headers["Edgeloop-Received"] == "3000000"


@pytest.mark.parametrize(
    "span", ["", "bytes 0-9", "bytes 0-9/99", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes -1-9/10", "0-9/10"]
)
async def test_a_span_that_does_not_fit_is_refused(daemon: DeviceDaemon, linked: Link, span: str) -> None:
    run, _ = await begin(daemon, linked)
    await announce(linked, run, b"a" * 10)
    headers = {"Content-Range": span}
    assert await refusal(linked, "PUT", sha(b"a" * 10), data=b"a" * 10, headers=headers) == (400, MessageError)


@pytest.mark.parametrize("body", [b"a" * 4, b"a" * 6])
async def test_a_body_that_is_not_as_long_as_its_span_is_refused(
    daemon: DeviceDaemon, linked: Link, body: bytes
) -> None:
    run, _ = await begin(daemon, linked)
    await announce(linked, run, b"a" * 10)
    headers = {"Content-Range": "bytes 0-4/10"}
    assert await refusal(linked, "PUT", sha(b"a" * 10), data=body, headers=headers) == (400, MessageError)


async def test_what_was_uploaded_of_a_file_goes_with_its_run(daemon: DeviceDaemon, linked: Link) -> None:
    run, _ = await begin(daemon, linked)
    again, _ = await begin(daemon, linked)
    content = b"a" * 1000
    for announced in (run, again):
        await announce(linked, announced, content)
    await linked.upload(content, end=400)
    partial = await asyncio.to_thread(daemon.blobs.partial, sha(content), linked.identity.id)
    await linked.report(run.id, TaskFinished(1, RunState.CANCELLED, 0, 0))
    await daemon.runs.get(run.id, wait=SECONDS)
    assert partial.stat().st_size == 400  # the other run goes on with it
    await linked.report(again.id, TaskFinished(1, RunState.CANCELLED, 0, 0))
    await daemon.runs.get(again.id, wait=SECONDS)
    assert not partial.exists()


async def test_a_file_whose_last_byte_came_as_the_daemon_was_killed_is_complete(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run, _ = await begin(daemon, linked)
    content = secrets.token_bytes(1000)
    await announce(linked, run, content)
    partial = await asyncio.to_thread(daemon.blobs.partial, sha(content), linked.identity.id)
    await asyncio.to_thread(partial.write_bytes, content[::-1])
    _, headers, _ = await linked.ask("HEAD", sha(content))
    assert headers["Edgeloop-Received"] == "0"  # other bytes do not count
    await asyncio.to_thread(partial.write_bytes, content)
    _, headers, _ = await linked.ask("HEAD", sha(content))
    assert headers["Edgeloop-Received"] == "1000"
    assert (await daemon.runs.get(run.id)).files[0].is_received
