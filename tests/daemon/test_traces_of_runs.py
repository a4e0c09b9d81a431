"""Traces of runs: from a device's records to what is asked of them, to comparisons, and to a file that trace viewers open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Link

from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.traces.comparison import compare_traces
from edgeloop_daemon.traces.export import chrome_trace_pieces
from edgeloop_daemon.traces.intake import SEAL_BYTES
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_daemon.traces.stored_trace import StoredTrace
from edgeloop_daemon.traces.summary import summary_of
from edgeloop_shared.clocks import ClockCompared, ClockProbe, ClockReading
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.messages import encode_message
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import TaskFinished, TaskStarted
from edgeloop_shared.spans import (
    CounterBatch,
    CounterTexts,
    Label,
    SpanBatch,
    SpanTexts,
    TraceStarted,
    pack_counters,
    pack_spans,
)
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

STORED_AT_ONCE = SEAL_BYTES // 48_000 + 1  # of full batches: enough for a block
# Large enough for several records.
OPERATORS = tuple(
    Operator(f"conv_{number}", "Convolution", ((1, 3, 8, 8),), ((1, 8, 8, 8),), 1.5) for number in range(2000)
)
TABLE = OperatorTable(1, "digits.mnn", "cpu", 1_000_000, OPERATORS)
SMALL = OperatorTable(
    1, "small.mnn", "cpu", 0, (Operator("conv", "Convolution"), Operator("relu", "ReLU")), threads=2, precision="low"
)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, quotas=Quotas(trace_sessions=3)) as running:
        (running.workspace.root / "task.py").touch()
        yield running


async def traced(
    daemon: DeviceDaemon, linked: Link, batches: Sequence[bytes], *tables: OperatorTable, more: Sequence[Any] = ()
) -> str:
    """Run a task that reports tables and batches; return the run's id once it has ended."""
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    for event in (*tables, *more):
        await linked.report(run.id, event)
    for number, batch in enumerate(batches, 1):
        await linked.send(f"{run.id}.traces", batch)
        if number % STORED_AT_ONCE == 0:
            await linked.acknowledged(f"{run.id}.traces", number)
    await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, len(batches)))
    assert (await daemon.runs.get(run.id, wait=10)).state is RunState.SUCCEEDED
    return run.id


async def read(daemon: DeviceDaemon, run_id: str) -> StoredTrace:
    return await TraceStore(daemon.database).read(run_id)


async def exported(daemon: DeviceDaemon, run_id: str) -> dict[str, Any]:
    store = TraceStore(daemon.database)
    pieces = [piece async for piece in chrome_trace_pieces(store, await store.read(run_id), process_name="task.py")]
    whole: dict[str, Any] = json.loads(b"".join(pieces))
    return whole


def batch(*operators: int, session: int = 1, begin: int = 1000) -> bytes:
    count = len(operators)
    return pack_batch(
        TraceBatch(session, operators, [0] * count, [begin + 1000 * n for n in range(count)], [500] * count)
    )


def runs(durations: Sequence[Sequence[int]], *, first: int = 0, begin: int = 0) -> bytes:
    """Whole runs of a model; of each the durations of its operators."""
    rows = [
        (index, first + number, begin + 1_000_000 * number + 100_000 * index, duration)
        for number, run in enumerate(durations)
        for index, duration in enumerate(run)
    ]
    return pack_batch(TraceBatch(1, *map(list, zip(*rows, strict=True))))


async def test_the_spans_are_named_like_the_operators(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [batch(0, 1999), batch(5, begin=9000)], TABLE)
    spans = [event for event in (await exported(daemon, run_id))["traceEvents"] if event["ph"] == "X"]
    assert [(span["name"], span["cat"], span["ts"], span["dur"]) for span in spans] == [
        ("conv_0", "Convolution", 0.0, 0.5),
        ("conv_1999", "Convolution", 1.0, 0.5),
        ("conv_5", "Convolution", 8.0, 0.5),
    ]


async def test_batches_that_make_no_sense_are_left_out_and_counted(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [b"nonsense", batch(2000), batch(1, session=7), batch(), batch(3)], TABLE)
    trace = await read(daemon, run_id)
    assert [(item.name, item.calls) for item in trace.top()] == [("conv_3", 1)]
    assert trace.unreadable == 3


async def test_a_run_without_a_trace_says_what_to_do(daemon: DeviceDaemon, linked: Link) -> None:
    run_id = await traced(daemon, linked, [])
    with pytest.raises(NotFoundError, match="edgeloop trace"):
        await read(daemon, run_id)


async def test_a_long_trace_lies_in_blocks_and_loses_nothing(daemon: DeviceDaemon, linked: Link) -> None:
    count = 2 * STORED_AT_ONCE + 3  # of batches with a thousand runs of two operators
    sent = [runs([(100 + n % 7, 40)] * 1000, first=1000 * n, begin=10**9 * n) for n in range(count)]
    run_id = await traced(daemon, linked, sent, SMALL)
    trace = await read(daemon, run_id)
    assert len(trace.rows.summaries) == 3
    assert (trace.events, trace.tail.sequence) == (2000 * count, 0)
    conv, relu = trace.top()
    assert (conv.name, conv.calls, conv.min_ms, conv.max_ms) == ("conv", 1000 * count, 100e-6, 106e-6)
    assert (relu.p50_ms, relu.mean_ms) == (40e-6, 40e-6)
    assert conv.share + relu.share == pytest.approx(1)
    listed = [found async for found in TraceStore(daemon.database).batches(trace) if isinstance(found, TraceBatch)]
    assert [value for found in listed for value in found.iteration[::2]] == list(range(1000 * count))
    assert sum(len(found) for found in listed) == 2000 * count
    [item] = await TraceStore(daemon.database).list("w1", 10)
    assert (item.run, item.events, item.gaps) == (run_id, 2000 * count, 0)
    assert item.bytes < 10 * item.events
    kept = await daemon.database.read(
        lambda db: db.execute("select sum(length(payload)) from records where stream like '%.traces'").fetchone()
    )
    assert kept == (0,)


async def test_operators_are_grouped_by_type_and_by_session(daemon: DeviceDaemon, linked: Link) -> None:
    other = OperatorTable(2, "other.mnn", "cpu", 0, (Operator("relu_2", "ReLU"),))
    sent = [runs([(300, 100), (500, 100)]), pack_batch(TraceBatch(2, [0], [0], [5], [50]))]
    trace = await read(daemon, await traced(daemon, linked, sent, SMALL, other))
    assert [(item.name, item.calls, item.total_ms) for item in trace.top("type")] == [
        ("Convolution", 2, 800e-6),
        ("ReLU", 3, 250e-6),
    ]
    assert [(item.name, item.calls) for item in trace.top("session")] == [("small.mnn", 4), ("other.mnn", 1)]
    assert [item.name for item in trace.top(session=2)] == ["relu_2"]
    first, second = trace.sessions()
    assert (first.model, first.threads, first.precision, first.operators, first.runs) == ("small.mnn", 2, "low", 2, 2)
    assert (second.runs, second.has_valid_times) == (1, True)


async def test_a_trace_is_seen_while_it_grows(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    await linked.report(run.id, TaskStarted(1))
    await linked.report(run.id, SMALL)
    sizes = []
    for number in range(3):
        sequence = await linked.send(f"{run.id}.traces", runs([(300, 100)], first=number, begin=10**6 * number))
        await linked.acknowledged(f"{run.id}.traces", sequence)
        summary = summary_of(await read(daemon, run.id), await daemon.runs.get(run.id))
        sizes.append((summary.state, summary.events, summary.sessions[0].runs))
    assert sizes == [("running", 2, 1), ("running", 4, 2), ("running", 6, 3)]


async def test_a_run_that_is_cut_short_keeps_its_trace(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    await linked.report(run.id, SMALL)
    await linked.acknowledged(f"{run.id}.traces", await linked.send(f"{run.id}.traces", runs([(300, 100)])))
    await daemon.devices.revoke(linked.identity.id)
    assert (await daemon.runs.get(run.id, wait=10)).state is RunState.FAILED
    [item] = await TraceStore(daemon.database).list("w1", 10)
    assert (item.state, item.events) == ("failed", 2)


SPANS = SpanBatch(
    SpanTexts((Label("span", "frame"), Label("span", "pre", 0), Label("run", "small.mnn", 0)), ("MainThread",), {}),
    *([1, 2, 0, 1, 0], [0] * 5, [0, 1, 0, 0, 0], [0] * 5, [0, 400, 0, 2000, 2000], [300, 500, 1000, 700, 800]),
    lost=2,
)
COUNTERS = CounterBatch(CounterTexts(("memory MB",)), [0, 250], [[50.0, 60.0]])


async def test_spans_make_a_tree_and_counters_ranges(daemon: DeviceDaemon, linked: Link) -> None:
    head = TraceStarted(0, 10**9, 0.25, ("memory MB",), {"processor MHz": "not told"})
    sent = [pack_spans(SPANS), pack_counters(COUNTERS)]
    run_id = await traced(daemon, linked, sent, SMALL, more=[head])
    trace = await read(daemon, run_id)
    rows = [
        (row.depth, row.kind, row.name, row.calls, round(row.total_ms * 1e6), round(row.self_ms * 1e6))
        for row in trace.tree()
    ]
    assert rows == [
        (0, "span", "frame", 2, 1800, 300),
        (1, "span", "pre", 2, 1000, 1000),
        (1, "run", "small.mnn", 1, 500, 500),
    ]
    summary = summary_of(trace, await daemon.runs.get(run_id))
    assert [(one.name, one.first, one.last, one.max) for one in summary.counters] == [("memory MB", 50.0, 60.0, 60.0)]
    assert (summary.missing, summary.lost_spans, summary.spans) == ({"processor MHz": "not told"}, 2, 5)
    assert summary.began_at == 1.0  # the device's own clock: nothing better is known
    assert (summary.clock.is_aligned, summary.clock.error_ns) == (False, None)


async def test_the_hosts_clock_counts_where_the_two_were_compared(daemon: DeviceDaemon, linked: Link) -> None:
    head = TraceStarted(0, 10**9, 0.25)
    points = [ClockCompared(0, 2 * 10**18, 40_000, 8), ClockCompared(10**10, 2 * 10**18 + 10**10 + 10**6, 60_000, 8)]
    run_id = await traced(daemon, linked, [pack_spans(SPANS)], SMALL, more=[head, *points])
    summary = summary_of(await read(daemon, run_id), await daemon.runs.get(run_id))
    assert summary.began_at == 2 * 10**9
    assert (summary.clock.is_aligned, summary.clock.round_trips) == (True, 16)
    assert summary.clock.error_ns is not None
    assert 60_000 <= summary.clock.error_ns < 150_000
    other = (await exported(daemon, run_id))["otherData"]
    assert (other["origin_unix_ns"], other["clock_error_ns"]) == (str(2 * 10**18), str(summary.clock.error_ns))


async def test_the_daemon_tells_its_time_to_a_device_that_asks(daemon: DeviceDaemon, linked: Link) -> None:
    await linked.socket.send_str(encode_message(ClockProbe(-17)))
    answer = await linked.receive(ClockReading)
    assert answer.sent_ns == -17
    assert answer.host_ns > 1_700_000_000_000_000_000


async def test_a_device_with_too_many_sessions_loses_its_run(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py", trace=True)
    await linked.accept()
    for session in range(4):
        await linked.report(run.id, OperatorTable(session, "a.mnn", "cpu", 0, ()))
    ended = await daemon.runs.get(run.id, wait=10)
    assert ended.error is not None
    assert "sessions of traces" in ended.error["message"]


async def test_the_operator_that_became_slower_is_named(daemon: DeviceDaemon, linked: Link) -> None:
    before = await traced(daemon, linked, [runs([(300_000 + n % 5, 100_000) for n in range(40)])], SMALL)
    renamed = OperatorTable(1, "small-2.mnn", "cpu", 0, (*SMALL.operators[:1], Operator("relu_0", "ReLU")))
    after = await traced(daemon, linked, [runs([(300_000 + n % 5, 150_000) for n in range(40)])], renamed)
    found = await compare_traces(TraceStore(daemon.database), after, before)
    [session] = found.sessions
    assert (session.model, session.reference_model) == ("small-2.mnn", "small.mnn")
    slower, same = session.operators
    assert (slower.name, slower.reference_name, slower.is_noise) == ("relu_0", "relu", False)
    assert slower.difference_ms == pytest.approx(0.05)
    assert (same.name, same.is_noise) == ("conv", True)
    assert session.whole.difference_ms == pytest.approx(0.05)
    assert not session.whole.is_noise
    assert (session.only_here, session.only_there, found.notes) == ((), (), ())


async def test_noise_is_called_noise_and_few_runs_too_few(daemon: DeviceDaemon, linked: Link) -> None:
    noisy = [[(300_000 + 40_000 * ((n * seed) % 7), 100_000) for n in range(40)] for seed in (1, 3)]
    ids = [await traced(daemon, linked, [runs(one)], SMALL) for one in noisy]
    [session] = (await compare_traces(TraceStore(daemon.database), *ids)).sessions
    assert all(row.is_noise for row in (session.whole, *session.operators))
    short = await traced(daemon, linked, [runs([(900_000, 100_000)])], SMALL)
    found = await compare_traces(TraceStore(daemon.database), short, ids[0])
    assert all(row.is_noise for row in found.sessions[0].operators)
    assert "too few times" in found.notes[0]


async def test_operators_that_only_one_of_two_models_has_are_listed(daemon: DeviceDaemon, linked: Link) -> None:
    larger = OperatorTable(1, "small.mnn", "cpu", 0, (*SMALL.operators, Operator("pool", "Pooling")))
    ids = [
        await traced(daemon, linked, [runs([(300, 100)] * 20)], SMALL),
        await traced(daemon, linked, [runs([(300, 100, 50)] * 20)], larger),
    ]
    [session] = (await compare_traces(TraceStore(daemon.database), ids[1], ids[0])).sessions
    assert (session.only_here, session.only_there) == (("pool",), ())
    assert session.whole.difference_ms == 0
