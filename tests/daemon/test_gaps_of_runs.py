"""What a device had to drop: in the log, in the trace, in the run's record, and never as silence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Link
from daemon.device_runs import ended

from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.devices.run_table import RunGap
from edgeloop_daemon.traces.export import chrome_trace_pieces
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_shared.codec import encode_json
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Record, pack_record
from edgeloop_shared.run_events import Gap, LogLine, TaskFinished, TaskStarted, TaskWaiting
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

LINES = Gap(12, 340, "spool-full", 5_000_000_000, 6_000_000_000)
BATCHES = Gap(3, 1500, "disk-full", 7_000_000_000, 8_000_000_000)
TABLE = OperatorTable(1, "digits.mnn", "cpu", 0, (Operator("conv", "Convolution"),))
BATCH = pack_batch(TraceBatch(1, [0], [0], [6_500_000_000], [500]))


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, quotas=Quotas(gaps=5)) as running:
        (running.workspace.root / "task.py").touch()
        yield running


async def send_gap(linked: Link, stream: str, payload: bytes) -> None:
    linked.last[stream] = linked.last.get(stream, 0) + 1
    await linked.socket.send_bytes(pack_record(Record(stream, linked.last[stream], payload, is_gap=True)))


async def test_a_gap_stands_where_it_belongs(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    await linked.send(f"{run.id}.logs", encode_json(LogLine(1, "stdout", "before")))
    await send_gap(linked, f"{run.id}.logs", encode_json(LINES))
    await linked.send(f"{run.id}.logs", encode_json(LogLine(9, "stdout", "after")))
    await linked.report(run.id, TABLE)
    await linked.send(f"{run.id}.traces", BATCH)
    await send_gap(linked, f"{run.id}.traces", encode_json(BATCHES))
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=3, traces=2))
    run = await ended(daemon, run)
    assert run.gaps == (
        RunGap("logs", 2, 12, 340, "spool-full", 5.0, 6.0),
        RunGap("traces", 2, 3, 1500, "disk-full", 7.0, 8.0),
    )
    lines = [(item.source, item.text) for item in (await daemon.runs.log(run.id)).items]
    assert lines[0] == ("stdout", "before")
    assert lines[1] == (
        "system",
        "(12 lines of output are missing, 340 bytes: the device was away and its spool was full)",
    )
    assert lines[2] == ("stdout", "after")
    store = TraceStore(daemon.database)
    pieces = chrome_trace_pieces(store, await store.read(run.id), process_name="task.py")
    trace = json.loads(b"".join([piece async for piece in pieces]))
    [gap] = [event for event in trace["traceEvents"] if event["ph"] == "i"]
    assert gap["name"] == "gap: 3 batches were dropped (disk-full)"
    assert gap["ts"] == 500_000.0
    assert sum(event["ph"] == "X" for event in trace["traceEvents"]) == 1


@pytest.mark.parametrize("payload", [b"", b"nonsense", encode_json({"items": -1}), b'{"reason":"spite"}'])
async def test_a_gap_that_says_nothing_fails_the_run(daemon: DeviceDaemon, linked: Link, payload: bytes) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    await send_gap(linked, f"{run.id}.logs", payload)
    run = await ended(daemon, run)
    assert run.error is not None
    assert run.error["code"] == "invalid-message"
    assert run.gaps == ()


async def test_a_device_that_reports_too_many_gaps_loses_its_run(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    for _ in range(6):
        await send_gap(linked, f"{run.id}.traces", encode_json(BATCHES))
    run = await ended(daemon, run)
    assert run.error is not None
    assert run.error["code"] == "too-large"
    assert len(run.gaps) == 5


async def test_a_run_that_waits_for_a_worker_says_so_until_it_begins(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    assert run.message is None
    for waiting, words in (
        (TaskWaiting(2), "waiting behind 2 others"),
        (TaskWaiting(3, 2, 8, 4), "waiting behind 3 others (2 of other computers)"),
        (TaskWaiting(0, 0, 8, 1), "waiting, next in line (8 tasks run, 1 of another computer)"),
    ):
        await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, waiting))
        run = await daemon.runs.get(run.id)
        assert (run.state, run.message, run.queue) == (RunState.QUEUED, words, waiting)
    await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, TaskStarted(1)))
    run = await daemon.runs.get(run.id)
    assert (run.message, run.queue) == (None, None)


async def test_a_memory_limit_reaches_the_device_from_the_call_or_the_workspace(
    daemon: DeviceDaemon, linked: Link
) -> None:
    await daemon.runs.start(daemon.workspace, "task.py", memory_mb=256)
    assert (await linked.accept()).memory_bytes == 256 * 1024**2
    await daemon.runs.start(daemon.workspace, "task.py")
    assert (await linked.accept()).memory_bytes is None
