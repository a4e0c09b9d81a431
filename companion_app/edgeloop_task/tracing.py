"""Per-operator traces of model runs: recorded by callbacks, sent in packed batches after each run."""

from __future__ import annotations

import contextlib
import itertools
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgeloop_shared.traces import MAX_BATCH_EVENTS, Operator, OperatorTable, TraceBatch, pack_batch
from edgeloop_task import reporting

_sessions = itertools.count(1)


class _Switch:
    """Whether runs are traced now, for the whole process."""

    depth = 0


def enable() -> None:
    """Trace every run of every model from now on."""
    _Switch.depth += 1


def is_enabled() -> bool:
    """Return whether a run that begins now is traced."""
    return _Switch.depth > 0


@contextlib.contextmanager
def trace() -> Iterator[None]:
    """Trace every run of every model inside the block."""
    _Switch.depth += 1
    try:
        yield
    finally:
        _Switch.depth -= 1


class Tracer:
    """Records the runs of one model.

    The callbacks do nothing but read the clock into a preallocated column: about 1 µs each beside MNN's own cost of a call.
    Names, types and shapes are read during the first run (and again when `forget` says that the inputs changed shape).
    """

    def __init__(self, model: str, backend: str) -> None:
        self._model = model
        self._backend = backend
        self._session = 0
        self._operators: list[Operator] = []
        self._iteration = 0

    def forget(self) -> None:
        """Forget the operators, because their shapes have changed; the next run describes them anew, as a new session."""
        self._operators = []

    def run(self, run_with: Callable[[Callable[..., bool], Callable[..., bool]], int]) -> int:
        """Trace one run; `run_with(begin, end)` executes it and returns MNN's code, which is returned."""
        if not self._operators:
            self._describe_with(run_with)
        times = array("q")
        now, record = time.perf_counter_ns, times.append

        def mark(_tensors: object, _operator: object) -> bool:
            record(now())
            return True

        code = run_with(mark, mark)
        self._send(times)
        return code

    def _describe_with(self, run_with: Callable[[Callable[..., bool], Callable[..., bool]], int]) -> None:
        """Learn the operators in a run of its own, whose times would be distorted by asking for names and shapes."""
        begun: list[tuple[str, str, float, tuple[tuple[int, ...], ...]]] = []
        operators: list[Operator] = []

        def begin(tensors: Sequence[Any], operator: Any) -> bool:
            begun.append((operator.getName(), operator.getType(), operator.getFlops(), _shapes(tensors)))
            return True

        def end(tensors: Sequence[Any], _operator: Any) -> bool:
            name, kind, flops, inputs = begun[-1]
            operators.append(Operator(name, kind, inputs, _shapes(tensors), flops))
            return True

        run_with(begin, end)
        self._operators = operators
        self._session = next(_sessions)
        offset = time.time_ns() - time.perf_counter_ns()
        table = OperatorTable(self._session, self._model, self._backend, offset, tuple(operators))
        reporting.current().operator_table(table)

    def _send(self, times: Sequence[int]) -> None:
        iteration, self._iteration = self._iteration, self._iteration + 1
        begins, ends = times[0::2], times[1::2]
        count = min(len(ends), len(self._operators))
        for start in range(0, count, MAX_BATCH_EVENTS):
            chosen = range(start, min(start + MAX_BATCH_EVENTS, count))
            batch = TraceBatch(
                session=self._session,
                operator=chosen,
                iteration=[iteration] * len(chosen),
                begin_ns=[begins[index] for index in chosen],
                duration_ns=[ends[index] - begins[index] for index in chosen],
            )
            reporting.current().trace_batch(pack_batch(batch))


def _shapes(tensors: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.getShape()) for tensor in tensors)
