"""A paired phone that turns hostile: it can end its own runs and its own link, and cost us nothing that has no bound."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, link

from edgeloop_daemon.devices import records, run_events
from edgeloop_shared.messages import CancelTask
from edgeloop_shared.records import Record, pack_record
from edgeloop_shared.run_events import TaskStarted, encode_event


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        (running.workspace.root / "task.py").write_text("print(1)")
        yield running


@pytest_asyncio.fixture
async def phone(daemon: DeviceDaemon) -> Identity:
    return await daemon.pair()


@pytest_asyncio.fixture
async def linked(phone: Identity) -> AsyncIterator[Link]:
    async with link(phone) as live:
        yield live


async def test_a_report_in_crumbs_ends_its_run(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py", device=linked.identity.id)
    await linked.accept()
    for sequence in range(1, run_events.MAX_EVENT_PARTS + 2):
        await linked.socket.send_bytes(pack_record(Record(f"{run.id}.events", sequence, b" ", continued=True)))
    assert (await linked.receive(CancelTask)).run_id == run.id
    ended = await daemon.runs.get(run.id, wait=10)
    assert ended.error is not None
    assert ended.error["code"] == "too-large"
    assert daemon.devices.get(linked.identity.id).is_linked


async def test_a_device_cannot_make_us_remember_streams_without_end(
    daemon: DeviceDaemon, linked: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_UNWANTED_STREAMS", 50)
    for number in range(51):
        await linked.send(f"r{number}.logs", b"", sequence=1)
    assert await linked.closed() == 1002
    async with link(linked.identity):
        assert daemon.devices.get(linked.identity.id).is_linked


@pytest.mark.parametrize("size", [256 * 1024 + 1, 2 * 1024**2])
async def test_a_frame_beyond_the_limit_ends_the_link(linked: Link, size: int) -> None:
    await linked.socket.send_bytes(secrets.token_bytes(size))
    assert await linked.closed() == 1009


async def test_a_message_without_end_in_many_frames_ends_the_link(linked: Link) -> None:
    transport = linked.socket._response.connection.transport  # type: ignore[union-attr]
    assert transport is not None
    for number in range(5):  # "text, not the last frame", then "goes on, not the last frame"; masked by zeros
        transport.write(bytes([0 if number else 1, 0xFE]) + (60_000).to_bytes(2, "big") + bytes(4) + b"a" * 60_000)
    assert await linked.closed() == 1009


async def test_one_device_does_not_disturb_the_run_of_another(daemon: DeviceDaemon, linked: Link) -> None:
    other = await daemon.pair("other")
    run = await daemon.runs.start(daemon.workspace, "task.py", device=linked.identity.id)
    await linked.accept()
    async with link(other) as hostile:
        sequence = await hostile.send(f"{run.id}.events", encode_event(TaskStarted(1)))
        await hostile.acknowledged(f"{run.id}.events", sequence)  # so that it forgets it
    assert (await daemon.runs.get(run.id)).state == "queued"
