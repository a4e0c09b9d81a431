"""Blobs: only missing ones travel, a lost connection is resumed, and wrong bytes are never used."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgeloop_shared.run_events import FileAnnounced, TransferProgress

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import Run

MODEL = random.Random(0).randbytes(3_000_000)
READ_MODEL = "import hashlib; print(hashlib.sha256(open('model.mnn', 'rb').read()).hexdigest())"
FILES: Mapping[str, bytes | str] = {"task.py": READ_MODEL, "model.mnn": MODEL}
SLACK = 512 * 1024
SHA256 = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


def starts_at(asked: str) -> int:
    return int(asked.removeprefix("bytes=").removesuffix("-"))


def asked_for(peer: LinkPeer, sha256: str) -> list[str]:
    """Return the Range headers of the requests for a blob."""
    return [asked for blob, asked in peer.blobs.downloads if blob == sha256]


def error_of(run: Run) -> Mapping[str, Any]:
    assert run.finished is not None
    assert run.finished.error is not None
    return run.finished.error


async def test_only_missing_blobs_are_fetched(peer: LinkPeer) -> None:
    first = await peer.run(FILES)
    asked = len(peer.blobs.downloads)
    second = await peer.run({**FILES, "copy.mnn": MODEL, "extra.txt": "new"})
    totals = [
        [event.total for event in run.events() if isinstance(event, TransferProgress)][-1] for run in (first, second)
    ]
    assert totals == [len(MODEL) + len(READ_MODEL), 3]
    assert len(peer.blobs.downloads) - asked == 2  # the manifest and the one new file


async def test_a_lost_download_is_resumed_where_it_stopped(peer: LinkPeer) -> None:
    peer.behaviour.cut_downloads[SHA256] = [1_200_000, 700_000]
    run = await peer.run(FILES)
    assert run.text("stdout") == [SHA256]
    first, second, third = asked_for(peer, SHA256)
    assert first == ""
    # What a client has received but not yet read is lost with the connection; it is little.
    assert 1_200_000 - SLACK < starts_at(second) <= 1_200_000
    assert starts_at(second) + 700_000 - SLACK < starts_at(third) <= starts_at(second) + 700_000
    progress = [event.received for event in run.events() if isinstance(event, TransferProgress)]
    assert progress[-1] == len(MODEL) + len(READ_MODEL)


async def test_a_download_is_resumed_over_the_next_link(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with LinkPeer().serving() as peer:
        peer.behaviour.cut_downloads[SHA256] = [1_200_000]
        peer.behaviour.cut_link_with_download = True
        async with linked_companion(state, peer):
            run = await peer.start(FILES)
            await peer.until(lambda: run.is_complete)
        assert run.text("stdout") == [SHA256]
        first, second = asked_for(peer, SHA256)
        assert first == ""
        assert 1_200_000 - SLACK < starts_at(second) <= 1_200_000


async def test_changed_bytes_are_refused_and_the_script_never_runs(peer: LinkPeer) -> None:
    peer.behaviour.spoiled_blobs.add(SHA256)
    run = await peer.run(FILES)
    assert error_of(run)["code"] == "transfer-failed"
    assert run.lines() == []
    peer.behaviour.spoiled_blobs.clear()
    assert (await peer.run(FILES)).text("stdout") == [SHA256]


async def test_a_part_that_was_spoiled_on_the_device_is_fetched_anew(peer: LinkPeer, tmp_path: Path) -> None:
    (tmp_path / "state" / "blobs" / "partial" / f"{next(iter(peer.devices))}-{SHA256}").write_bytes(
        b"rubbish of an earlier attempt"
    )
    run = await peer.run(FILES)
    assert run.text("stdout") == [SHA256]
    assert asked_for(peer, SHA256) == ["bytes=29-", ""]


async def test_a_blob_that_the_daemon_does_not_have_fails_the_run(peer: LinkPeer) -> None:
    command = peer.command(FILES)
    del peer.blobs.content[SHA256]
    await peer.send(command)
    run = peer.runs[command.run_id]
    await peer.until(lambda: run.is_complete)
    assert error_of(run)["code"] == "not-found"


async def test_two_runs_that_need_the_same_blob_fetch_it_once(peer: LinkPeer) -> None:
    first = await peer.start(FILES)
    second = await peer.start({**FILES, "other.txt": "x"})
    await peer.until(lambda: first.is_complete and second.is_complete)
    assert first.text("stdout") == second.text("stdout") == [SHA256]
    assert asked_for(peer, SHA256) == [""]


async def uploaded(peer: LinkPeer) -> bytearray:
    """Run a script that reports 9 MB, and return what came of them."""
    script = """
import edgeloop_task, random
open("big.bin", "wb").write(random.Random(1).randbytes(9_000_000))
edgeloop_task.report_file("big.bin")
"""
    run = await peer.run({"task.py": script})
    assert run.finished is not None
    assert run.finished.error is None
    [announced] = [event for event in run.events() if isinstance(event, FileAnnounced)]
    content = peer.blobs.uploads[announced.sha256]
    assert hashlib.sha256(content).hexdigest() == announced.sha256
    assert peer.blobs.early_uploads == []
    return content


async def test_an_upload_begins_when_its_announcement_is_stored_and_resumes(peer: LinkPeer) -> None:
    peer.behaviour.cut_uploads_after = 4_000_000
    assert len(await uploaded(peer)) == peer.blobs.uploaded_bytes == 9_000_000  # no byte came twice
    *tried, last = peer.blobs.upload_starts  # aiohttp repeats a request by itself, in vain
    assert set(tried) == {0}
    assert 4_000_000 <= last < 5_000_000


async def test_an_upload_goes_on_where_the_daemon_says_when_the_two_disagree(peer: LinkPeer) -> None:
    peer.behaviour.cut_uploads_after = 4_000_000
    peer.behaviour.hides_uploads = True
    assert len(await uploaded(peer)) == peer.blobs.uploaded_bytes == 9_000_000
    *_, before, last = peer.blobs.upload_starts
    assert before == 0
    assert 4_000_000 <= last < 5_000_000


async def test_a_refused_upload_fails_the_run(peer: LinkPeer) -> None:
    peer.behaviour.refuse_uploads = True
    run = await peer.run({"task.py": "import edgeloop_task; edgeloop_task.report_file('task.py')"})
    assert error_of(run)["code"] == "too-large"


async def test_too_many_reported_bytes_are_refused_in_the_script(peer: LinkPeer) -> None:
    script = """
import edgeloop_task
with open("sparse.bin", "wb") as file:
    file.truncate(2 * 1024**3)
edgeloop_task.report_file("sparse.bin")
"""
    error = error_of(await peer.run({"task.py": script}))
    assert error["details"]["cause"]["code"] == "too-large"
    assert (error["details"]["file"], error["details"]["line"]) == ("task.py", 5)
