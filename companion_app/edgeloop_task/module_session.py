"""Sessions of MNN's modules: the only ones that run control flow (If, While) and shapes that depend on numbers.

MNN gives them no callbacks in Python, so their runs cannot be traced per operator.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError, ModelError
from edgeloop_task.engine import mnn_modules
from edgeloop_task.model_file import ModelFile
from edgeloop_task.native_output import capture
from edgeloop_task.operator_observer import Observer
from edgeloop_task.session import Precision, lacks_backend, model_error
from edgeloop_task.tensors import TensorInfo
from edgeloop_task.tracing import Tracer

_ELSEWHERE = re.compile(r"Can't Find type=\d+ backend, use \d+ instead")  # all that tells where a module runs


class ModuleSession:
    """A loaded module; see `Session`."""

    shows_operators = False

    def __init__(self, path: Path, file: ModelFile, *, threads: int, precision: Precision, backend: str) -> None:
        self._path = path
        self._expr, nn = mnn_modules()
        if not file.outputs:
            raise model_error(
                path, "needs MNN's module API but names no outputs, so it cannot run", (), "Convert it again."
            )
        self._output_names = file.outputs
        # An open batch is 1 here too, as it is for MNN's other sessions.
        self.inputs = tuple(
            TensorInfo(tensor.name, (abs(tensor.shape[0]), *tensor.shape[1:]) if tensor.shape else (), tensor.dtype)
            for tensor in file.inputs
        )
        self._outputs = tuple(TensorInfo(name, (-1,), "unknown") for name in file.outputs)
        self._fed: list[Any] = []
        self._results: list[NDArray[Any]] = []
        self._has_told = False
        failure = None
        names = [tensor.name for tensor in self.inputs]
        with capture() as printed:
            try:
                config = {"numThread": threads, "backend": backend.upper(), "precision": precision}
                self._runtime = nn.create_runtime_manager((config,))
                self._module = nn.load_module_from_file(
                    str(path), names, list(file.outputs), runtime_manager=self._runtime
                )
            except Exception as error:  # MNN raises bare exceptions
                failure = error
        self._printed = printed.lines
        if failure is not None or self._module is None:
            lines = (*printed.lines, *([str(failure)] if failure else []))
            raise model_error(path, "cannot be loaded as a module", lines, "Convert or export it again.")
        if any(_ELSEWHERE.search(line) for line in printed.lines):
            raise lacks_backend(path, backend, printed.lines)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The outputs of the last run; of unknown shape and dtype before the first."""
        return self._outputs

    def feed(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy the arrays in."""
        self._fed = [self._variable(arrays[tensor.name], tensor) for tensor in self.inputs]

    def run(self) -> None:
        """Compute and copy the outputs: a module may put work off until they are read."""
        failure = None
        try:
            found = self._forward()
        except Exception as error:  # MNN raises bare exceptions
            failure, found = error, []
        if failure is not None or len(found) != len(self._output_names):
            raise self._run_error(failure)
        self._results = found
        self._outputs = tuple(
            TensorInfo(name, array.shape, array.dtype.name)
            for name, array in zip(self._output_names, found, strict=True)
        )

    def run_observed(self, tracer: Tracer | None, observer: Observer | None) -> None:
        """Compute, and say once that there is nothing to trace. Raises `ModelError` where a breakpoint asks for more."""
        if observer:
            raise ModelError(
                f"The operators of {self._path.name} cannot be observed: it has control flow, or shapes that depend on its "
                "numbers, and MNN shows no single operators of such models.",
                hint="Name other models with `in`, as in 'op:* in other.mnn', or break on a part exported without control flow.",
            )
        if tracer:
            tracer.pass_over([tuple(variable.shape) for variable in self._fed])
            if not self._has_told:
                self._has_told = True
                sys.stderr.write(
                    f"edgeloop: {self._path.name} has control flow, or shapes that depend on its numbers; "
                    "MNN cannot trace such models per operator.\n"
                )
        self.run()

    def results(self) -> dict[str, NDArray[Any]]:
        """Return the outputs of the last run."""
        return dict(zip(self._output_names, self._results, strict=True))

    @property
    def memory_bytes(self) -> int:
        """0: MNN does not say it of modules."""
        return 0

    @property
    def flops(self) -> int:
        """0: MNN does not say it of modules."""
        return 0

    def _variable(self, array: NDArray[Any], tensor: TensorInfo) -> Any:
        kinds = {"float32": self._expr.float, "int32": self._expr.int, "uint8": self._expr.uint8}
        if tensor.dtype not in kinds:
            raise InvalidInputError(
                f"The input {tensor.name!r} of {self._path.name} is {tensor.dtype}, which MNN's modules do not take.",
                hint="Export the model with float32, int32 or uint8 inputs.",
            )
        variable = self._expr.placeholder(list(array.shape), self._expr.NCHW, kinds[tensor.dtype])
        variable.write(array)
        return variable

    def _forward(self) -> list[NDArray[Any]]:
        return [self._array(variable) for variable in self._module.forward(self._fed)]

    def _array(self, variable: Any) -> NDArray[Any]:
        expr = self._expr
        if variable.data_format == expr.NC4HW4:
            variable = expr.convert(variable, expr.NCHW)
        shape = tuple(variable.shape)
        if 0 in shape:
            return np.zeros(shape, {expr.int: "int32", expr.uint8: "uint8"}.get(variable.dtype, "float32"))
        # `variable` is held while its memory is read: a view of one that is gone shows whatever comes next.
        return np.array(variable.read(), copy=True).reshape(shape)

    def _run_error(self, failure: Exception | None) -> ModelError:
        """Run once more and listen."""
        with capture() as printed:
            try:
                self._forward()
            except Exception as error:  # the same again, or another one
                failure = error
        shapes = ", ".join(str(list(variable.shape)) for variable in self._fed)
        return model_error(
            self._path,
            "does not run",
            (*self._printed, *printed.lines, *([str(failure.__cause__ or failure)] if failure else [])),
            f"Its inputs had the shapes {shapes}; see with `edgeloop inspect` what it takes.",
        )
