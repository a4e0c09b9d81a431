"""Per-operator traces of model runs: recorded by callbacks, sent in packed batches after each run."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import math
import operator
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from edgeloop_shared.traces import MAX_BATCH_EVENTS, Operator, OperatorTable, TraceBatch, pack_batch
from edgeloop_task import reporting
from edgeloop_task.callbacks import Callback, name_and_type
from edgeloop_task.source_nodes import SourceNodes
from edgeloop_task.trace_sampler import SAMPLER
from edgeloop_task.trace_switch import Switch

Resume: TypeAlias = Callable[[], None]
RunWith: TypeAlias = Callable[[Callback | None, Callback, Resume], int]
"""Runs the model under a tracer's callbacks; whoever spends time between two operators calls the third when that is over."""

_MAX_NAME, _MAX_TYPE = 1024, 256  # what an `Operator` may hold
_sessions = itertools.count(1)


def enable() -> None:
    """Trace every run of every model from now on."""
    _add(1)


def is_enabled() -> bool:
    """Return whether a run that begins now is traced."""
    return Switch.reasons > 0


@contextlib.contextmanager
def trace() -> Iterator[None]:
    """Trace every run of every model while the block runs, in all threads, with spans, memory and the processor's state."""
    _add(1)
    try:
        yield
    finally:
        _add(-1)


def _add(reasons: int) -> None:
    with Switch.lock:
        if Switch.add(reasons):
            if reasons > 0:
                SAMPLER.begin()
            else:
                SAMPLER.end()


@atexit.register
def _end_at_exit() -> None:
    # Before the reporter is closed: what is registered later is called earlier.
    if Switch.reasons:
        with contextlib.suppress(OSError, ValueError):  # whoever listened may be gone first
            SAMPLER.end()


class Tracer:
    """Records the runs of one model.

    The first run also describes the operators; later ones only read the clock, where an operator ends and the next begins.
    A session of the trace begins with each description: when the shapes of the inputs have changed, or another reporter
    listens.
    """

    def __init__(
        self,
        model: str,
        backend: str,
        *,
        nodes: SourceNodes,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        self._model = model
        self._nodes = nodes
        self._backend = backend
        self._threads = threads
        self._precision = precision
        self._session = 0
        self._operators: tuple[Operator, ...] = ()
        self._numbers: array[int] = array("I")  # of the operators
        self._input_shapes: object = None
        self._reporter: reporting.Reporter | None = None
        self._iteration = 0

    @property
    def last_run(self) -> tuple[int, int]:
        """The session and the iteration of the last run."""
        return self._session, max(0, self._iteration - 1)

    def pass_over(self, input_shapes: object) -> None:
        """Count a run whose operators nobody can see; its session has none."""
        reporter = reporting.current()
        if self._reporter is not reporter or self._input_shapes != input_shapes:
            self._begin_session(reporter, input_shapes, ())
        self._iteration += 1

    def run(self, input_shapes: object, run_with: RunWith) -> int:
        """Trace one run with inputs of these shapes. Return MNN's code, as `run_with` does."""
        reporter = reporting.current()
        if self._reporter is not reporter or self._input_shapes != input_shapes:
            return self._describe(reporter, input_shapes, run_with)
        times: array[int] = array("q")
        now, record = time.perf_counter_ns, times.append
        resumed: dict[int, int] = {}  # by an operator's number, when it begins after somebody has spent time before it

        def end(_tensors: Sequence[Any], _operator: Any) -> bool:
            record(now())  # the next operator begins here as well: a callback of its own for that would double the cost
            return True

        def resume() -> None:
            resumed[len(times) - 1] = now()

        record(now())
        code = run_with(None, end, resume)
        begins, ends = times[:-1], times[1:]
        for number, begin in resumed.items():
            if number < len(begins):
                begins[number] = begin
        self._send(reporter, begins, ends)
        if code == 0 and len(ends) != len(self._operators):  # MNN has changed its plan: the next run tells it
            self._reporter = None
        return code

    def _describe(self, reporter: reporting.Reporter, input_shapes: object, run_with: RunWith) -> int:
        """Trace a run and learn what its operators are; asking happens outside of the times that are taken."""
        begins: array[int] = array("q")
        ends: array[int] = array("q")
        operators: list[Operator] = []
        inputs: tuple[tuple[int, ...], ...] = ()
        now = time.perf_counter_ns

        def begin(tensors: Sequence[Any], _operator: Any) -> bool:
            nonlocal inputs
            inputs = _shapes(tensors)
            begins.append(now())
            return True

        def end(tensors: Sequence[Any], operator: Any) -> bool:
            ends.append(now())
            operators.append(self._described(operator, inputs, _shapes(tensors)))
            return True

        code = run_with(begin, end, lambda: None)
        self._begin_session(reporter, input_shapes, tuple(operators))
        if code != 0:  # one cut short is not whole: the next run describes them again
            self._reporter = None
        self._send(reporter, begins, ends)
        return code

    def _described(
        self, operator: Any, inputs: tuple[tuple[int, ...], ...], outputs: tuple[tuple[int, ...], ...]
    ) -> Operator:
        name, kind = name_and_type(operator)
        flops = float(operator.getFlops())
        node = self._nodes.find(name)
        return Operator(
            name[:_MAX_NAME],
            kind[:_MAX_TYPE],
            inputs,
            outputs,
            flops if math.isfinite(flops) else 0.0,
            None if node is None else str(node)[:_MAX_NAME],
        )

    def _begin_session(
        self, reporter: reporting.Reporter, input_shapes: object, operators: tuple[Operator, ...]
    ) -> None:
        self._reporter, self._input_shapes, self._operators = reporter, input_shapes, operators
        self._numbers = array("I", range(len(operators)))
        self._session, self._iteration = next(_sessions), 0
        offset = time.time_ns() - time.perf_counter_ns()
        reporter.operator_table(
            OperatorTable(self._session, self._model, self._backend, offset, operators, self._threads, self._precision)
        )

    def _send(self, reporter: reporting.Reporter, begins: array[int], ends: array[int]) -> None:
        # Right after the run and not later: a script that crashes in its next run leaves this one behind.
        iteration, self._iteration = self._iteration, self._iteration + 1
        count = min(len(ends), len(self._operators))
        for start in range(0, count, MAX_BATCH_EVENTS):
            part = slice(start, min(start + MAX_BATCH_EVENTS, count))
            batch = TraceBatch(
                session=self._session,
                operator=self._numbers[part],
                iteration=array("I", [iteration]) * (part.stop - part.start),
                begin_ns=begins[part],
                duration_ns=array("Q", map(operator.sub, ends[part], begins[part])),
            )
            reporter.trace_batch(pack_batch(batch))


def _shapes(tensors: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.getShape()) for tensor in tensors)
