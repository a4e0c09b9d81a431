"""Traces: what was executed when, told in packed batches that the operator table explains."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_models import random
from companion_app.task_reporter import Remembered

import edgeloop_task
from edgeloop_shared.traces import MAX_BATCH_EVENTS
from edgeloop_task import reporting, tracing
from edgeloop_task.engine import mnn_modules
from edgeloop_task.native_output import capture
from edgeloop_task.source_nodes import SourceNodes

IMAGE = random(1, 3, 8, 8)


@pytest.fixture
def network(models: Path) -> Iterator[edgeloop_task.Model]:
    with edgeloop_task.load_model(models / "network.mnn") as model:
        yield model


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of more operators than one batch holds."""
    path = tmp_path_factory.mktemp("chain") / "chain.mnn"
    expr, _ = mnn_modules()
    with capture():
        x = y = expr.placeholder([1, 4], expr.NCHW, expr.float)
        x.name = "x"
        for _ in range(MAX_BATCH_EVENTS // 2 + 200):
            y = expr.tanh(expr.sin(y))
        expr.save([y], str(path))
    return path


def test_a_traced_run_names_every_operator_with_its_shapes(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.trace():
        traced = network(IMAGE)

    (table,) = reported.tables
    by_type = {operator.type: operator for operator in table.operators}
    assert table.model == "network.mnn"
    assert table.backend == "cpu"
    assert by_type["Convolution"].input_shapes[0] == (1, 3, 8, 8)
    assert by_type["Convolution"].output_shapes == ((1, 6, 8, 8),)
    assert by_type["Convolution"].flops == pytest.approx(8 * 8 * 6 * 27 / 1e6, rel=0.1)
    np.testing.assert_array_equal(traced, network(IMAGE))


def test_events_follow_each_other_and_fit_into_their_run(network: edgeloop_task.Model, reported: Remembered) -> None:
    network(IMAGE)  # so that nothing but the run lies between the two times
    before = time.time_ns()
    with edgeloop_task.trace():
        for _ in range(3):
            network(IMAGE)
    after = time.time_ns()

    (table,) = reported.tables
    count = len(table.operators)
    assert [list(batch.operator) for batch in reported.batches] == [list(range(count))] * 3
    assert [list(batch.iteration) for batch in reported.batches] == [[number] * count for number in range(3)]
    events = [
        (begin, begin + duration)
        for batch in reported.batches
        for begin, duration in zip(batch.begin_ns, batch.duration_ns, strict=True)
    ]
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(events))
    slack = 50_000_000  # the two clocks of a system may drift apart a little
    assert before - slack <= events[0][0] + table.clock_offset_ns
    assert events[-1][1] + table.clock_offset_ns <= after + slack


def test_only_what_runs_inside_the_block_is_traced(network: edgeloop_task.Model, reported: Remembered) -> None:
    network(IMAGE)
    with edgeloop_task.trace():
        network.time(IMAGE, repeats=3)
    assert not reported.batches

    def fail() -> None:
        with edgeloop_task.trace(), edgeloop_task.trace():
            network(IMAGE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    network(IMAGE)
    assert len(reported.batches) == 1
    assert not tracing.is_enabled()


def test_new_shapes_are_a_new_session(models: Path, reported: Remembered) -> None:
    with edgeloop_task.load_model(models / "open.mnn") as model, edgeloop_task.trace():
        for size in (4, 4, 9):
            model(random(1, 3, size, size))

    assert [batch.session for batch in reported.batches] == [
        reported.tables[0].session,
        reported.tables[0].session,
        reported.tables[1].session,
    ]
    shapes = [{shape for operator in table.operators for shape in operator.output_shapes} for table in reported.tables]
    assert (1, 6, 4, 4) in shapes[0]
    assert (1, 6, 9, 9) in shapes[1]


def test_whoever_listens_anew_is_told_the_operators(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.trace():
        network(IMAGE)
        late = Remembered()
        reporting.use(late)
        network(IMAGE)

    assert [table.operators for table in late.tables] == [reported.tables[0].operators]
    assert [batch.session for batch in late.batches] == [late.tables[0].session]


def test_a_long_model_takes_several_batches(chain: Path, reported: Remembered) -> None:
    with edgeloop_task.load_model(chain) as model, edgeloop_task.trace():
        model(np.ones((1, 4), np.float32))
        model(np.ones((1, 4), np.float32))

    (table,) = reported.tables
    assert len(table.operators) > MAX_BATCH_EVENTS
    for number in (0, 1):
        indices = [index for batch in reported.batches if batch.iteration[0] == number for index in batch.operator]
        assert indices == list(range(len(table.operators)))


def test_threads_are_traced_into_whole_runs(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.trace():
        threads = [threading.Thread(target=lambda: [network(IMAGE) for _ in range(20)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [batch.iteration[0] for batch in reported.batches] == list(range(60))


def test_a_model_with_control_flow_runs_and_says_that_it_is_not_traced(
    models: Path, reported: Remembered, capsys: pytest.CaptureFixture[str]
) -> None:
    with edgeloop_task.load_model(models / "branch.mnn") as model, edgeloop_task.trace():
        for _ in range(2):
            np.testing.assert_array_equal(model(np.ones((2, 3), np.float32)), np.full((2, 3), 2))

    (table,) = reported.tables
    assert (table.model, table.operators) == ("branch.mnn", ())
    runs = [(s, i) for batch in reported.spans for s, i in zip(batch.session, batch.iteration, strict=True) if s]
    assert runs == [(table.session, 0), (table.session, 1)]
    assert capsys.readouterr().err.count("branch.mnn has control flow") == 1


class OddOperator:
    """What MNN tells of an operator in a damaged model."""

    def getName(self) -> str:
        return b"\xff".decode()

    def getType(self) -> str:
        return "Odd"

    def getFlops(self) -> float:
        return float("nan")


class OddTensor:
    def getShape(self) -> tuple[int, ...]:
        return (1, 2)


def test_a_name_that_is_no_text_does_not_end_the_run(reported: Remembered) -> None:
    def run_with(begin: Any, end: Any, _resume: Any) -> int:
        return 0 if begin([OddTensor()], OddOperator()) and end([OddTensor()], OddOperator()) else 11

    assert tracing.Tracer("odd.mnn", "cpu", nodes=SourceNodes(Path("odd.mnn"))).run((), run_with) == 0
    assert reported.tables[0].operators[0].name == "(unreadable)"
    assert reported.tables[0].operators[0].flops == 0


def test_control_c_inside_an_operator_arrives(chain: Path, reported: Remembered) -> None:
    """Python handles signals between two of its own instructions: here, inside of a callback of MNN."""

    def run_for_ever() -> None:
        threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            model(ones)

    ones = np.ones((1, 4), np.float32)
    before = signal.getsignal(signal.SIGINT)
    with edgeloop_task.load_model(chain) as model, edgeloop_task.trace():
        model(ones)
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                run_for_ever()
        np.testing.assert_array_equal(model(ones), model(ones))
    assert signal.getsignal(signal.SIGINT) is before
