"""Runs that wait at an operator: what others may ask of the thread that waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_models import random
from companion_app.task_reporter import Remembered
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError, NotFoundError, RunAbortedError
from edgeloop_shared.operator_stops import OperatorResumed, OperatorStopped
from edgeloop_task.operator_waits import WAITS, Stop
from edgeloop_task.tensor_parts import part_of

IMAGE = random(1, 3, 8, 8)


class Waiting(Remembered):
    """A reporter behind which somebody listens."""

    def __init__(self) -> None:
        super().__init__(is_attended=True)
        self.stopped = threading.Event()

    def operator_event(self, event: Any) -> None:
        super().operator_event(event)
        if isinstance(event, OperatorStopped):
            self.stopped.set()

    @property
    def stop(self) -> Stop:
        """The stop at which the run waits now, as soon as it does."""
        assert self.stopped.wait(30)
        self.stopped.clear()
        return WAITS.stop([one.stop for one in self.operator_events if isinstance(one, OperatorStopped)][-1])


@pytest.fixture
def reporter() -> Iterator[Waiting]:
    before, waiting = edgeloop_task.reporting.current(), Waiting()
    edgeloop_task.reporting.use(waiting)
    yield waiting
    edgeloop_task.reporting.use(before)


def begun(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start `work` in a thread; the list holds what it returns or raises."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def waiting(network: edgeloop_task.Model, selector: str) -> tuple[threading.Thread, list[Any]]:
    def run() -> NDArray[Any]:
        with edgeloop_task.break_on(selector, action="wait"):
            return network(IMAGE)

    return begun(run)


def test_the_stopped_thread_does_what_is_asked(network: edgeloop_task.Model, reporter: Waiting) -> None:
    thread, outcome = waiting(network, "conv")
    stop = reporter.stop

    assert stop.ask(lambda hit: (hit.name, threading.get_ident())) == ("conv", thread.ident)
    with pytest.raises(InvalidInputError, match="cannot replace output 0"):
        stop.ask(lambda hit: hit.replace([1]))
    with pytest.raises(InvalidInputError, match="has run already"):
        stop.settle("skip")
    stop.ask(lambda hit: hit.replace(np.zeros((1, 6, 8, 8))))
    stop.settle()()
    thread.join(30)

    np.testing.assert_array_equal(outcome[0], np.zeros((1, 6, 1, 1)))
    stopped, resumed = reporter.operator_events
    assert isinstance(stopped, OperatorStopped)
    assert isinstance(resumed, OperatorResumed)
    assert (stopped.stop, stopped.hit.operator, len(stopped.inputs), len(stopped.outputs)) == (
        resumed.stop,
        "conv",
        1,
        1,
    )
    assert (resumed.answer, [hit.answer for hit in reporter.hits]) == ("replace", ["replace"])
    with pytest.raises(NotFoundError, match="does not wait"):
        stop.ask(lambda hit: hit.name)


def test_only_the_first_answer_counts(network: edgeloop_task.Model, reporter: Waiting) -> None:
    thread, outcome = waiting(network, "conv before")
    stop = reporter.stop
    let_go = stop.settle("skip")
    with pytest.raises(NotFoundError, match="does not wait"):
        stop.settle("abort")
    let_go()
    thread.join(30)
    np.testing.assert_array_equal(outcome[0], np.zeros((1, 6, 1, 1)))


def test_an_aborted_wait_ends_the_run(network: edgeloop_task.Model, reporter: Waiting) -> None:
    thread, outcome = waiting(network, "conv")
    reporter.stop.settle("abort")()
    thread.join(30)
    assert isinstance(outcome[0], RunAbortedError)
    assert "that was the answer to its stop" in outcome[0].message


def test_two_threads_wait_and_each_is_answered(models: Path, reporter: Waiting) -> None:
    with (
        edgeloop_task.load_model(models / "network.mnn") as one,
        edgeloop_task.load_model(models / "network.mnn") as two,
    ):
        first, of_first = waiting(one, "conv")
        stop = reporter.stop
        second, of_second = waiting(two, "conv @0 in network.mnn")
        other = reporter.stop
        other.settle("abort")()
        second.join(30)
        assert first.is_alive()
        stop.settle()()
        first.join(30)

    assert isinstance(of_second[0], RunAbortedError)
    assert isinstance(of_first[0], np.ndarray)


def test_where_nobody_listens_a_run_does_not_wait(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.break_on("conv", action="wait"), pytest.raises(InvalidInputError, match="nobody can tell it"):
        network(IMAGE)


@pytest.mark.parametrize(
    ("part", "shape", "values"),
    [
        ("...", (2, 3), (0.0, 1.0, 2.0, "nan", 4.0, "-inf")),
        ("1", (3,), ("nan", 4.0, "-inf")),
        ("0,1:", (2,), (1.0, 2.0)),
        ("-1,1", (), (4.0,)),
        (" ..., ::2 ", (2, 2), (0.0, 2.0, "nan", "-inf")),
    ],
)
def test_a_part_of_a_tensor_is_read(part: str, shape: tuple[int, ...], values: tuple[Any, ...]) -> None:
    array = np.array([[0, 1, 2], [np.nan, 4, -np.inf]], np.float32)
    found = part_of(array, part, "out[0]")
    assert (found.summary.shape, found.values) == (shape, values)
    finite = [value for value in values if not isinstance(value, str)]
    assert found.histogram is not None
    assert sum(found.histogram.counts) == len(finite)


@pytest.mark.parametrize("part", ["x", "0,,1", "7", "0,0,0", "..., ...", "::0", "()", "1e3", "__import__('os')"])
def test_a_part_that_there_is_not_is_refused(part: str) -> None:
    with pytest.raises(InvalidInputError):
        part_of(np.zeros((2, 3)), part, "out[0]")


def test_large_parts_are_cut_and_hold_no_more_than_a_message_does() -> None:
    found = part_of(np.full((100, 100), np.pi), "...", "out[0]")
    assert (len(found.values), found.summary.count) == (2048, 10_000)
    assert found.values[0] == pytest.approx(np.pi, rel=1e-8)
    assert part_of(np.array([-1.7e308, 1.7e308]), "...", "out[0]").histogram is None
    assert part_of(np.full(3, np.nan), "...", "out[0]").histogram is None
