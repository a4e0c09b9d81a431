"""Runs that wait at an operator until somebody says how to go on: the stopped thread does what others ask of it meanwhile."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, Literal, TypeAlias, TypeVar

from edgeloop_shared.errors import InvalidInputError, NotFoundError
from edgeloop_shared.operator_stops import OperatorResumed, OperatorStopped
from edgeloop_task import reporting
from edgeloop_task.operator_hit import OperatorHit, summaries_of
from edgeloop_task.reporting import StopAt

T = TypeVar("T")
_OWN_FOLDER = Path(__file__).parent
End = Literal["continue", "skip", "abort"]
_Task: TypeAlias = tuple[Callable[[OperatorHit], Any], "Future[Any]"]


class Stop:
    """A thread that waits at an operator. What is asked for is done in that thread: MNN's tensors are its alone.

    In a debugger (`stop_at`) it stands still and can do nothing: there it is done for it.
    """

    def __init__(self, number: int, hit: OperatorHit, stop_at: StopAt | None = None) -> None:
        self.number = number
        self._hit = hit
        self._stop_at = stop_at
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._is_aborted = False
        self._lock = threading.Lock()
        self._is_over = False

    def ask(self, do: Callable[[OperatorHit], T]) -> T:
        """Let the stopped thread do something and return what it returns, or raise what it raises.

        Raises `NotFoundError` when the run has gone on.
        """
        return self._ask(do, is_last=False)

    def settle(self, how: End = "continue") -> Callable[[], None]:
        """Decide how the run goes on, and return what lets it go: it may be over in the same moment.

        Raises `InvalidInputError` where the operator cannot be skipped any more.
        """

        def prepare(hit: OperatorHit) -> None:
            if how == "skip":
                hit.skip()
            self._is_aborted = how == "abort"

        self._ask(prepare, is_last=True)
        return lambda: self._tasks.put(None)

    def wait(self) -> None:
        """Do what is asked for until the run shall go on; in the stopped thread. Raises `RunAbortedError` when it shall not."""
        try:
            if self._stop_at is not None:
                self._stop_at(_frame_of_script())
                self._tasks.put(None)
            while (task := self._tasks.get()) is not None:
                do, result = task
                try:
                    result.set_result(do(self._hit))
                except BaseException as error:
                    result.set_exception(error)
                    if not isinstance(error, Exception):  # Ctrl-C
                        raise
        finally:
            with self._lock:
                self._is_over = True
            while not self._tasks.empty():
                if (left := self._tasks.get()) is not None:
                    left[1].set_exception(self._gone())
        if self._is_aborted:
            self._hit.abort("that was the answer to its stop")

    def _ask(self, do: Callable[[OperatorHit], T], *, is_last: bool) -> T:
        result: Future[T] = Future()

        def work(hit: OperatorHit) -> T:
            found = do(hit)
            if is_last:
                with self._lock:
                    self._is_over = True
            return found

        with self._lock:
            if self._is_over:
                raise self._gone()
            if self._stop_at is None:
                self._tasks.put((work, result))
        return result.result() if self._stop_at is None else work(self._hit)

    def _gone(self) -> NotFoundError:
        return NotFoundError(f"The run does not wait at stop {self.number} any more.")


class Waits:
    """The stops of this process."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._stops: dict[int, Stop] = {}

    def stop(self, number: int) -> Stop:
        """Return a stop at which the run waits. Raises `NotFoundError`."""
        found = self._stops.get(number)
        if found is None:
            raise NotFoundError(f"The run does not wait at a stop {number}.")
        return found

    def wait(self, hit: OperatorHit) -> None:
        """Tell of the hit and wait until somebody lets the run go on.

        Raises `InvalidInputError` where nobody can, and `RunAbortedError` where the answer was to abort.
        """
        reporter = reporting.current()
        if not reporter.is_attended:
            raise InvalidInputError(
                f"The run stops at the operator {hit.name}, and nobody can tell it to go on.",
                hint="The action `wait` is for runs on a device; here pass a function that takes the hit.",
            )
        number, stop_at = next(self._numbers), reporter.debugger()
        stop = self._stops[number] = Stop(number, hit, stop_at)
        tensors = summaries_of(hit.tensors)
        inputs = tensors if hit.phase == "before" else summaries_of(hit.inputs)
        outputs = () if hit.phase == "before" else tensors
        report, in_debugger = hit.report(time.time_ns(), tensors), stop_at is not None
        reporter.operator_event(OperatorStopped(number, report, inputs, outputs, in_debugger))
        try:
            stop.wait()
        finally:
            del self._stops[number]
            reporter.operator_event(OperatorResumed(time.time_ns(), number, hit.answer))


WAITS = Waits()
"""Those of this process: a breakpoint's action has no other handle on who answers."""


def _frame_of_script() -> FrameType:
    """Return the frame whose call led here: a user looks at it first, not at what lies between it and the operator."""
    frame = sys._getframe()
    while frame.f_back is not None and Path(frame.f_code.co_filename).parent == _OWN_FOLDER:
        frame = frame.f_back
    return frame
