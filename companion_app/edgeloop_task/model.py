"""Models: numpy arrays in and out of MNN."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

from numpy.typing import ArrayLike, NDArray

from edgeloop_shared.errors import InvalidInputError, ModelError
from edgeloop_task import run_times, tracing
from edgeloop_task.interpreter_session import InterpreterSession, NeedsModuleError
from edgeloop_task.model_file import read_model_file
from edgeloop_task.module_session import ModuleSession
from edgeloop_task.operator_observer import Observer
from edgeloop_task.session import Precision, Session
from edgeloop_task.source_nodes import SourceNodes
from edgeloop_task.spans import LoadSpan, RunSpan
from edgeloop_task.tensors import TensorInfo, fitting_arrays
from edgeloop_task.timing import Timing

BACKENDS = ("cpu", "opencl", "vulkan", "metal", "cuda", "nn")
MAX_THREADS = 64


def load_model(
    path: str | os.PathLike[str], *, threads: int = 1, precision: Precision = "normal", backend: str = "cpu"
) -> Model:
    """Load an MNN model.

    Raises `NotFoundError` for a missing file, `InvalidInputError` for an option that does not exist, and `ModelError` with
    MNN's own lines for a file that is no model or that this build of MNN cannot run (`backend` is one of `BACKENDS`).
    """
    if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise InvalidInputError(f"A model cannot run with {threads!r} threads.", hint=f"Use 1 to {MAX_THREADS}.")
    if precision not in get_args(Precision):
        raise InvalidInputError(
            f"There is no precision {precision!r}.", hint=f"Use one of {', '.join(get_args(Precision))}."
        )
    if backend not in BACKENDS:
        raise InvalidInputError(f"There is no backend {backend!r}.", hint=f"Use one of {', '.join(BACKENDS)}.")
    source = Path(path)
    with LoadSpan(source.name or "model"):
        session = _open_session(source, threads=threads, precision=precision, backend=backend)
    return Model(source, backend, session, threads=threads, precision=precision)


def _open_session(source: Path, *, threads: int, precision: Precision, backend: str) -> Session:
    file = read_model_file(source)
    if not file.control_flow:
        with contextlib.suppress(NeedsModuleError):
            return InterpreterSession(source, file, threads=threads, precision=precision, backend=backend)
    return ModuleSession(source, file, threads=threads, precision=precision, backend=backend)


class Model:
    """A loaded model, made by `load_model`. Results are always copies.

    Arrays have the model's own order of axes. Threads may share a model; its runs then take turns. It closes itself at the
    end of a `with` block.
    """

    def __init__(self, path: Path, backend: str, session: Session, *, threads: int, precision: Precision) -> None:
        self.path = path
        self._name = path.name or "model"
        self.backend = backend
        self.threads = threads
        self.precision = precision
        self._session: Session | None = session
        self._lock = threading.Lock()
        self._runner: int | None = None  # the thread whose turn it is
        nodes = SourceNodes(path)
        self._tracer = tracing.Tracer(path.name, backend, nodes=nodes, threads=threads, precision=precision)
        self._observer = Observer(path.name, nodes)
        self._inputs = session.inputs

    def __repr__(self) -> str:
        session = self._session
        outputs = ", ".join(map(str, session.outputs)) if session is not None else "closed"
        where = f"{self.backend} {self.precision} x{self.threads}"
        return f"<Model {self._name}: {', '.join(map(str, self._inputs))} -> {outputs}; {where}>"

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The inputs in the model's own order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The outputs in the model's own order; shapes are those of the last run, (-1,) where they depend on it."""
        return self._open_session().outputs

    def run(self, *arrays: ArrayLike, **named: ArrayLike) -> dict[str, NDArray[Any]]:
        """Run the model once and return every output by name.

        Inputs are given in the order of `inputs` or by name. They are converted where no number changes (float64 to
        float32 may round); the first axis, and sizes that the model leaves open, may have any size. Raises
        `InvalidInputError` for inputs that do not fit, `ModelError` if MNN fails, `RunAbortedError` where a breakpoint asked
        for it, and what a breakpoint's action raised.
        """
        watch = run_times.Stopwatch()
        with RunSpan(self._name) as span, self._turn():
            watch.lap()
            session = self._feed(arrays, named)
            tracer = self._tracer if tracing.is_enabled() else None
            observer = self._observer if self._observer.begins_run() else None
            watch.lap()
            if tracer or observer:
                session.run_observed(tracer, observer)
            else:
                session.run()
            watch.lap()
            if tracer:
                span.session, span.iteration = tracer.last_run
            results = session.results()
            watch.lap()
        run_times.record(self, arrays, named, watch)
        return results

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike) -> NDArray[Any]:
        """Run the model once and return its only output. Raises `InvalidInputError` if it has several."""
        outputs = self.outputs
        if len(outputs) != 1:
            names = ", ".join(output.name for output in outputs)
            raise InvalidInputError(
                f"{self.path.name} has {len(outputs)} outputs ({names}).",
                hint="model.run(...) returns them all by name.",
            )
        return self.run(*arrays, **named)[outputs[0].name]

    def time(self, *arrays: ArrayLike, repeats: int = 100, warmup: int = 10, **named: ArrayLike) -> Timing:
        """Run the model `warmup + repeats` times on the same inputs and time each of the latter, never traced.

        Copying the inputs in and the outputs out is not timed, and no breakpoint stops these runs.
        """
        if repeats < 1 or warmup < 0:
            raise InvalidInputError(
                f"A timing cannot have {repeats} repeats and {warmup} warm-up runs.",
                hint="It needs at least one repeat.",
            )
        with self._turn():
            session = self._feed(arrays, named)
            run, now = session.run, time.perf_counter_ns
            for _ in range(warmup):
                run()
            samples = []
            for _ in range(repeats):
                begin = now()
                run()
                samples.append(now() - begin)
        return Timing(tuple(samples))

    @property
    def shows_operators(self) -> bool:
        """Whether its runs can be observed operator by operator: not those of a model with control flow."""
        return self._open_session().shows_operators

    @property
    def session_memory_bytes(self) -> int:
        """What MNN says its session takes, for the present input shapes; 0 for a model with control flow."""
        return self._open_session().memory_bytes

    @property
    def flops(self) -> int:
        """Operations of one run as MNN counts them (a multiplication with its addition is one), for the present input shapes.

        0 for a model with control flow.
        """
        return self._open_session().flops

    def close(self) -> None:
        """Give the model's memory back; it cannot be run any more."""
        with self._turn():
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._runner == threading.get_ident():
            raise ModelError(
                f"{self.path.name} runs already, and this was called from within that run.",
                hint="The action of a breakpoint may run other models, but not the one that it stopped.",
            )
        with self._lock:
            self._runner = threading.get_ident()
            try:
                yield
            finally:
                self._runner = None

    def _open_session(self) -> Session:
        if self._session is None:
            raise ModelError(f"The model {self.path} has been closed.", hint="Load it again.")
        return self._session

    def _feed(self, arrays: tuple[ArrayLike, ...], named: dict[str, ArrayLike]) -> Session:
        session = self._open_session()
        session.feed(fitting_arrays(self.path.name, self._inputs, arrays, named))
        return session
