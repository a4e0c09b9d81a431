"""Traces of runs: from a device's records to a file that trace viewers open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Link, link

from edgeloop_daemon.traces.export import export_chrome_trace
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.messages import TaskFinished
from edgeloop_shared.models import RunState
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

# Large enough for several records.
OPERATORS = tuple(
    Operator(f"conv_{number}", "Convolution", ((1, 3, 8, 8),), ((1, 8, 8, 8),), 1.5) for number in range(2000)
)
TABLE = OperatorTable(1, "digits.mnn", "cpu", 1_000_000, OPERATORS)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        (running.workspace.root / "task.py").touch()
        yield running


@pytest_asyncio.fixture
async def linked(daemon: DeviceDaemon) -> AsyncIterator[Link]:
    async with link(await daemon.pair()) as live:
        yield live


async def traced(daemon: DeviceDaemon, linked: Link, batches: list[bytes], *, tables: int = 1) -> str:
    """Run a task that reports a table and batches; return the run's id once it has ended."""
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    for _ in range(tables):
        await linked.report(run.id, TABLE)
    for batch in batches:
        await linked.send(f"{run.id}.traces", batch)
    await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, len(batches)))
    assert (await daemon.runs.get(run.id, wait=10)).state is RunState.SUCCEEDED
    return run.id


def batch(*operators: int, session: int = 1) -> bytes:
    count = len(operators)
    return pack_batch(
        TraceBatch(session, operators, [0] * count, [1000 * (n + 1) for n in range(count)], [500] * count)
    )


async def test_the_spans_are_named_like_the_operators(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [batch(0, 1999), batch(5)])
    content = await export_chrome_trace(TraceStore(daemon.database), run_id, process_name="task.py")
    spans = [event for event in json.loads(content)["traceEvents"] if event["ph"] == "X"]
    assert [(span["name"], span["cat"], span["dur"]) for span in spans] == [
        ("conv_0", "Convolution", 0.5),
        ("conv_1999", "Convolution", 0.5),
        ("conv_5", "Convolution", 0.5),
    ]


async def test_batches_that_make_no_sense_are_left_out(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [b"nonsense", batch(2000), batch(1, session=7), batch(), batch(3)])
    trace = await TraceStore(daemon.database).read(run_id)
    assert [tuple(found.operator) for found in trace.batches] == [(3,)]


async def test_a_run_without_a_trace_says_what_to_do(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [], tables=0)
    with pytest.raises(NotFoundError, match="--trace"):
        await export_chrome_trace(TraceStore(daemon.database), run_id, process_name="task.py")
