"""Chrome traces: every executed operator, span and counter as an event that a viewer shows at its time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.chrome_trace import TAIL, ChromeTrace, chrome_trace
from edgeloop_shared.clocks import AlignedClock, ClockCompared
from edgeloop_shared.errors import MessageError
from edgeloop_shared.run_events import Gap
from edgeloop_shared.spans import CounterBatch, CounterTexts, Label, SpanBatch, SpanTexts
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch

CONV = Operator("conv1", "Convolution", ((1, 3, 8, 8), (6, 3, 3, 3)), ((1, 6, 8, 8),), 0.25)
RELU = Operator("relu1", "ReLU", ((1, 6, 8, 8),), ((1, 6, 8, 8),))
TABLE = OperatorTable(1, "net.mnn", "cpu", 5_000_000, (CONV, RELU))
BATCH = TraceBatch(1, [0, 1], [7, 7], [1_000_000, 1_002_500], [2_000, 499])
SPANS = SpanBatch(
    SpanTexts(
        (Label("span", "frame"), Label("run", "net.mnn", 0), Label("gc", "generation 2")),
        ("main", "worker"),
        {"0": {"size": 3}},
    ),
    *([0, 1, 2], [0, 0, 1], [0, 1, 0], [0, 7, 0], [990_000, 995_000, 2_000_000], [20_000, 10_000, 5_000]),
)
COUNTERS = CounterBatch(
    CounterTexts(("memory MB", "processor °C")), [1_000_000, 1_250_000], [[50.5, 51.0], [math.nan, 40.0]]
)
KEYS = {
    "M": {"name", "pid", "tid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "i": {"name", "cat", "pid", "tid", "ts", "s", "args"},
    "C": {"name", "pid", "tid", "ts", "args"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "pid", "tid", "ts", "bp"},
}
"""What the format asks for, by phase."""


def events(tables: Sequence[OperatorTable], batches: Sequence[TraceBatch], **more: Any) -> list[dict[str, Any]]:
    """The events of a trace, each as the format wants it."""
    trace = json.loads("".join(chrome_trace(tables, batches, process_name="phone", clock_offset_ns=5_000_000, **more)))
    for event in trace["traceEvents"]:
        assert set(event) == KEYS[event["ph"]] | {"ph"}
        assert all(isinstance(event[name], int) for name in ("pid", "tid"))
        assert event.get("dur", 0) >= 0
    found: list[dict[str, Any]] = trace["traceEvents"]
    return found


def named(found: list[dict[str, Any]], kind: str) -> dict[int, str]:
    return {event["tid"]: event["args"]["name"] for event in found if event["ph"] == "M" and event["name"] == kind}


def test_an_executed_operator_is_a_complete_event() -> None:
    found = events([TABLE], [BATCH])
    assert named(found, "process_name") == {0: "phone"}
    assert named(found, "thread_name") == {1: "net.mnn (cpu)"}
    first, second = (event for event in found if event["ph"] == "X")
    assert first == {
        "ph": "X",
        "name": "conv1",
        "cat": "Convolution",
        "pid": 1,
        "tid": 1,
        "ts": 0.0,
        "dur": 2.0,
        "args": {
            "inputs": [[1, 3, 8, 8], [6, 3, 3, 3]],
            "outputs": [[1, 6, 8, 8]],
            "mflops": 0.25,
            "iteration": 7,
        },
    }
    assert (second["name"], second["ts"], second["dur"]) == ("relu1", 2.5, 0.499)


def test_a_session_says_how_it_ran_and_whether_its_times_mean_something() -> None:
    table = OperatorTable(3, "net.mnn", "opencl", 0, (CONV,), threads=4, precision="low")
    found = events([table], [TraceBatch(3, [0], [0], [5], [1])])
    assert named(found, "thread_name") == {3: "net.mnn (opencl, 4 threads, low)"}
    [operator] = [event for event in found if event["ph"] == "X"]
    assert "mean nothing" in operator["args"]["note"]


def test_a_span_stands_on_the_track_of_its_thread_and_an_arrow_leads_to_the_operators_of_a_run() -> None:
    found = events([TABLE], [BATCH], spans=[SPANS])
    tracks = {name: tid for tid, name in named(found, "thread_name").items()}
    spans = [(e["name"], e["cat"], e["tid"], e["ts"], e["args"]) for e in found if e["ph"] == "X" and e["tid"] != 1]
    assert spans == [
        ("frame", "span", tracks["main"], 0.0, {"size": 3}),
        ("net.mnn", "run", tracks["main"], 5.0, {"session": 1, "iteration": 7}),
        ("GC generation 2", "gc", tracks["worker"], 1010.0, {}),
    ]
    start, end = ([event for event in found if event["ph"] == phase] for phase in "sf")
    assert [(e["tid"], e["ts"], e["id"]) for e in start] == [(tracks["main"], 5.0, "1.7")]
    assert [(e["tid"], e["ts"], e["id"]) for e in end] == [(1, 10.0, "1.7")]


def test_counters_are_tracks_of_numbers_without_those_that_could_not_be_read() -> None:
    found = [event for event in events([], [], counters=[COUNTERS]) if event["ph"] == "C"]
    assert [(event["name"], event["ts"], event["args"]) for event in found] == [
        ("memory MB", 0.0, {"MB": 50.5}),
        ("memory MB", 250.0, {"MB": 51.0}),
        ("processor °C", 250.0, {"°C": 40.0}),
    ]


def test_what_is_missing_is_an_instant_at_its_time() -> None:
    lost = SpanBatch(SPANS.texts, [0], [0], [0], [0], [990_000], [1], lost=4)
    gap = Gap(3, 1500, "disk-full", since_ns=7_990_000, until_ns=8_990_000)  # by the device's wall clock: 5 ms ahead
    found = events([TABLE], [BATCH], spans=[lost], gaps=[gap])
    instants = [(event["name"], event["ts"]) for event in found if event["ph"] == "i"]
    assert instants == [
        ("gap: 4 spans were dropped (too many at once)", 0.0),
        ("gap: 3 batches were dropped (disk-full)", 2000.0),
    ]


def test_the_device_and_the_host_stand_on_one_timeline() -> None:
    clock = AlignedClock([ClockCompared(1_000_000, 900_000_000_000, 2000)], device_offset_ns=5)
    trace = ChromeTrace(clock, origin_ns=899_999_000_000)
    moments = [(899_999_500_000, "run.started", {"run": "r1"})]
    text = "".join(
        [
            trace.head("phone", {"clock_error_ns": "2000"}),
            *trace.session(TABLE),
            *trace.operators(BATCH),
            *trace.host("desk", moments),
            TAIL,
        ]
    )
    whole = json.loads(text)
    assert whole["otherData"] == {"origin_unix_ns": "899999000000", "clock_error_ns": "2000"}
    times = {event["name"]: (event["pid"], event["ts"]) for event in whole["traceEvents"] if event["ph"] in "Xi"}
    assert times == {"conv1": (1, 1000.0), "relu1": (1, 1002.5), "run.started": (2, 500.0)}


def test_nothing_recorded_is_an_empty_trace() -> None:
    assert [event["ph"] for event in events([], [])] == ["M"]
    assert events([TABLE], [TraceBatch(1, [], [], [], [])])


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        (TraceBatch(9, [0], [0], [0], [0]), "session 9"),
        (TraceBatch(1, [2], [0], [0], [0]), "operator 2 of a model that has 2"),
    ],
)
def test_a_batch_that_no_table_explains_is_refused(batch: TraceBatch, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        events([TABLE], [batch])


@given(
    st.integers(-(2**62), 2**62),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2**61), st.integers(0, 2**61)), min_size=1, max_size=20),
)
def test_events_keep_their_order_distance_and_names(offset: int, listed: list[tuple[int, int, int]]) -> None:
    listed.sort(key=lambda event: event[1])
    operator, begin, duration = ([event[index] for event in listed] for index in range(3))
    table = OperatorTable(1, "net.mnn", "cpu", offset, (CONV, RELU))
    found = events([table], [TraceBatch(1, operator, [0] * len(listed), begin, duration)])

    spans = [event for event in found if event["ph"] == "X"]
    assert [span["name"] for span in spans] == [("conv1", "relu1")[index] for index in operator]
    assert [span["ts"] for span in spans] == [(value - begin[0]) / 1000 for value in begin]
    assert [span["dur"] for span in spans] == [value / 1000 for value in duration]
