"""Chrome traces: every executed operator as an event that a viewer shows at its time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.chrome_trace import chrome_trace
from edgeloop_shared.errors import MessageError
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch

CONV = Operator("conv1", "Convolution", ((1, 3, 8, 8), (6, 3, 3, 3)), ((1, 6, 8, 8),), 0.25)
RELU = Operator("relu1", "ReLU", ((1, 6, 8, 8),), ((1, 6, 8, 8),))
TABLE = OperatorTable(1, "net.mnn", "cpu", 5_000_000, (CONV, RELU))
BATCH = TraceBatch(1, [0, 1], [7, 7], [1_000_000, 1_002_500], [2_000, 499])


def test_an_executed_operator_is_a_complete_event() -> None:
    trace = chrome_trace([TABLE], [BATCH], process_name="phone")

    names = {event["name"]: event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"}
    assert names == {"process_name": "phone", "thread_name": "net.mnn (cpu)"}
    first, second = (event for event in trace["traceEvents"] if event["ph"] == "X")
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


def test_sessions_stand_side_by_side_on_one_clock() -> None:
    other = OperatorTable(2, "net.mnn", "cpu", -3_000_000, (RELU,))
    # 1.0 ms + 5 ms of offset, and 9.5 ms - 3 ms: half a millisecond apart.
    trace = chrome_trace([TABLE, other], [TraceBatch(2, [0], [0], [9_500_000], [1]), BATCH], process_name="x")

    starts = {(event["tid"], event["ts"]) for event in trace["traceEvents"] if event["ph"] == "X"}
    assert starts == {(2, 500.0), (1, 0.0), (1, 2.5)}


def test_nothing_recorded_is_an_empty_trace() -> None:
    trace = chrome_trace([], [], process_name="x")
    assert [event["ph"] for event in trace["traceEvents"]] == ["M"]
    assert chrome_trace([TABLE], [TraceBatch(1, [], [], [], [])], process_name="x")["traceEvents"]


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        (TraceBatch(9, [0], [0], [0], [0]), "session 9"),
        (TraceBatch(1, [2], [0], [0], [0]), "operator 2 of a model that has 2"),
    ],
)
def test_a_batch_that_no_table_explains_is_refused(batch: TraceBatch, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        chrome_trace([TABLE], [batch], process_name="x")


@given(
    st.integers(-(2**62), 2**62),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2**61), st.integers(0, 2**61)), min_size=1, max_size=20),
)
def test_events_keep_their_order_distance_and_names(offset: int, events: list[tuple[int, int, int]]) -> None:
    events.sort(key=lambda event: event[1])
    operator, begin, duration = ([event[index] for event in events] for index in range(3))
    table = OperatorTable(1, "net.mnn", "cpu", offset, (CONV, RELU))
    trace = chrome_trace([table], [TraceBatch(1, operator, [0] * len(events), begin, duration)], process_name="x")

    spans = [event for event in json.loads(json.dumps(trace))["traceEvents"] if event["ph"] == "X"]
    assert [span["name"] for span in spans] == [("conv1", "relu1")[index] for index in operator]
    assert [span["ts"] for span in spans] == [(value - begin[0]) / 1000 for value in begin]
    assert [span["dur"] for span in spans] == [value / 1000 for value in duration]
