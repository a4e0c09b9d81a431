"""Sessions of MNN's `Interpreter`, which alone can be traced per operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeloop_shared.errors import ModelError
from edgeloop_task.callbacks import Callback, held_interrupts
from edgeloop_task.engine import mnn
from edgeloop_task.model_file import ModelFile
from edgeloop_task.native_output import capture
from edgeloop_task.native_tensors import copy_of, dtype_of, write
from edgeloop_task.operator_observer import Observer
from edgeloop_task.session import Precision, lacks_backend, model_error, ordered
from edgeloop_task.tensors import TensorInfo
from edgeloop_task.tracing import Resume, Tracer

_MEMORY, _FLOPS, _BACKEND = (
    0,
    1,
    2,
)  # indices of `getSessionInfo`: MiB, millions of operations, MNN's number of a backend
_CPU_BACKENDS = (0, 13)  # plain, and with the processor's vector extensions
_NEEDS_MODULE = "please use module api"


class NeedsModuleError(Exception):
    """The shapes within the model depend on its numbers: an `Interpreter` cannot run it, a module can. It stays in here."""


class InterpreterSession:
    """A session of an `Interpreter`; see `Session`."""

    shows_operators = True

    def __init__(self, path: Path, file: ModelFile, *, threads: int, precision: Precision, backend: str) -> None:
        self._path = path
        engine = mnn()
        config = {"numThread": threads, "backend": backend.upper(), "precision": precision}
        failure = None
        with capture() as printed:
            try:
                self._interpreter = engine.Interpreter(str(path))
                self._session = self._interpreter.createSession(config)
                inputs = dict(self._interpreter.getSessionInputAll(self._session))
                outputs = dict(self._interpreter.getSessionOutputAll(self._session))
            except Exception as error:  # MNN raises bare exceptions
                failure = error
        self._printed = printed.lines
        if failure is not None:
            if any(_NEEDS_MODULE in line for line in printed.lines):
                raise NeedsModuleError
            raise model_error(path, "cannot be loaded", (*printed.lines, str(failure)), "Convert or export it again.")
        if backend != "cpu" and self._info(_BACKEND) in _CPU_BACKENDS:
            raise lacks_backend(path, backend, printed.lines)
        described = {tensor.name: tensor for tensor in file.inputs}
        names = ordered(inputs, [*described])
        self._inputs = {name: inputs[name] for name in names}
        self._outputs = {name: outputs[name] for name in ordered(outputs, file.outputs)}
        self._shapes = {name: tuple(tensor.getShape()) for name, tensor in self._inputs.items()}
        self.inputs = tuple(TensorInfo(name, self._shapes[name], dtype_of(inputs[name])) for name in names)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The outputs for the present input shapes; of the shape (-1,) while those are open."""
        is_open = any(size < 0 for shape in self._shapes.values() for size in shape)
        return tuple(
            TensorInfo(name, (-1,) if is_open else tuple(tensor.getShape()), dtype_of(tensor))
            for name, tensor in self._outputs.items()
        )

    def feed(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy the arrays in, after a resize if their shapes are new."""
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != self._shapes:
            self._resize(shapes)
        for name, tensor in self._inputs.items():
            write(tensor, arrays[name], f"the input {name!r} of {self._path}")

    def run(self) -> None:
        """Compute; other threads of Python run meanwhile."""
        if (code := self._interpreter.runSession(self._session)) != 0:
            raise self._run_error(code)

    def run_observed(self, tracer: Tracer | None, observer: Observer | None) -> None:
        """Compute under callbacks; MNN holds the GIL while an operator runs."""

        def execute(begin: Callback | None, end: Callback | None) -> int:
            if end is None:
                return int(self._interpreter.runSession(self._session))
            with held_interrupts():
                return int(self._interpreter.runSessionWithCallBackInfo(self._session, begin, end))

        def observed(begin: Callback | None, end: Callback | None, resume: Resume) -> int:
            return observer.run(self._shapes, execute, begin, end, resume) if observer else execute(begin, end)

        code = tracer.run(self._shapes, observed) if tracer else observed(None, None, lambda: None)
        if observer:
            observer.raise_failure()
        if code != 0:
            raise self._run_error(code)

    def results(self) -> dict[str, NDArray[Any]]:
        """Return copies: what MNN hands over is a view of memory that the next run overwrites."""
        return {name: copy_of(tensor, f"the output {name!r} of {self._path}") for name, tensor in self._outputs.items()}

    @property
    def memory_bytes(self) -> int:
        """What the session takes for the present input shapes, without the model file itself."""
        return round(self._info(_MEMORY) * 1024 * 1024)

    @property
    def flops(self) -> int:
        """Operations of a run with the present input shapes; a multiplication with its addition is one."""
        return round(self._info(_FLOPS) * 1e6)

    def _info(self, number: int) -> float:
        return float(self._interpreter.getSessionInfo(self._session, number))

    def _resize(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = {}  # until MNN has taken the new ones, none are known
        with capture() as printed:
            for name, tensor in self._inputs.items():
                self._interpreter.resizeTensor(tensor, shapes[name])
            self._interpreter.resizeSession(self._session)  # says True in any case; the run's code tells
        self._printed = printed.lines
        self._shapes = dict(shapes)

    def _run_error(self, code: int) -> ModelError:
        """Run once more and listen: MNN's code alone says next to nothing."""
        with capture() as printed:
            self._interpreter.runSession(self._session)
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self._shapes.items())
        return model_error(
            self._path,
            f"does not run: MNN returned code {code}",
            (*self._printed, *printed.lines),
            f"Its inputs had the shapes {shapes}; see with `edgeloop inspect` what it takes and whether it is whole.",
            code,
        )
