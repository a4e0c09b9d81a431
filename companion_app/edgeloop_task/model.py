"""Models: MNN sessions with numpy arrays in and out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError
from edgeloop_task import tracing
from edgeloop_task.engine import mnn
from edgeloop_task.native_output import capture
from edgeloop_task.timing import Timing

Precision = Literal["normal", "low", "high"]
_MEMORY, _FLOPS = 0, 1  # indices of `getSessionInfo`: MB, and millions of floating point operations
_DTYPES = {"Float": "float32", "Int": "int32", "Uint8": "uint8", "Int64": "int64", "Double": "float64"}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output. `shape` holds -1 for sizes that the model leaves open until it is run; `dtype` is numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def load_model(path: str | Path, *, threads: int = 1, precision: Precision = "normal", backend: str = "cpu") -> Model:
    """Load an MNN model.

    `backend` is MNN's name of one (`cpu`, `opencl`, `vulkan`, `metal`, ...). Raises `NotFoundError` for a missing file and
    `ModelError` with MNN's own lines for a file that is no model or that this build of MNN cannot run.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"The model {source} does not exist.", hint="Give the path of an .mnn file.")
    return Model(source, threads=threads, precision=precision, backend=backend)


class Model:
    """A loaded model. Arrays are in the model's own logical order (NCHW for images); results are always copies."""

    def __init__(self, path: Path, *, threads: int, precision: Precision, backend: str) -> None:
        self.path = path
        self.backend = backend
        engine = mnn()
        config = {"numThread": threads, "backend": backend.upper(), "precision": precision}
        # createSession succeeds on models that cannot run; what it prints is all that tells why.
        with capture() as output:
            try:
                self._interpreter = engine.Interpreter(str(path))
                self._session = self._interpreter.createSession(config)
            except Exception as error:
                failure: Exception | None = error
            else:
                failure = None
        self._native_lines = output.lines
        if failure is not None or self._session is None:
            raise _model_error(path, "cannot be loaded", self._native_lines, _why_not_loaded(path))
        self.inputs = tuple(_info(name, tensor) for name, tensor in self._input_tensors().items())
        self.outputs = tuple(_info(name, tensor) for name, tensor in self._output_tensors().items())
        self._shapes = {tensor.name: tensor.shape for tensor in self.inputs}
        self._tracer = tracing.Tracer(path.name, backend)

    def run(self, *arrays: ArrayLike, **named: ArrayLike) -> dict[str, NDArray[Any]]:
        """Run the model once and return every output by name.

        Inputs are given in the order of `inputs` or by name. Numbers of another width are converted where nothing is lost
        (float64 to float32 counts as nothing). Raises `InvalidInputError` for inputs that do not fit, `ModelError` if MNN fails.
        """
        self._feed(self._named(arrays, named))
        if tracing.is_enabled():
            code = self._tracer.run(
                lambda begin, end: int(self._interpreter.runSessionWithCallBackInfo(self._session, begin, end))
            )
        else:
            code = int(self._interpreter.runSession(self._session))
        if code != 0:
            raise self._run_error(code)
        return {name: _read(tensor) for name, tensor in self._output_tensors().items()}

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike) -> NDArray[Any]:
        """Run the model once and return its only output. Raises `InvalidInputError` if it has several."""
        if len(self.outputs) != 1:
            names = ", ".join(output.name for output in self.outputs)
            raise InvalidInputError(
                f"{self.path.name} has {len(self.outputs)} outputs ({names}).", hint="Use model.run(...)."
            )
        return next(iter(self.run(*arrays, **named).values()))

    def time(self, *arrays: ArrayLike, repeats: int = 100, warmup: int = 10, **named: ArrayLike) -> Timing:
        """Run the model `warmup + repeats` times on the same inputs and time the latter, without tracing or copying."""
        if repeats < 1 or warmup < 0:
            raise InvalidInputError("A timing needs at least one repeat and no negative warm-up.")
        self._feed(self._named(arrays, named))
        run, session, now = self._interpreter.runSession, self._session, time.perf_counter_ns
        for _ in range(warmup):
            if (code := run(session)) != 0:
                raise self._run_error(code)
        samples = []
        for _ in range(repeats):
            begin = now()
            run(session)
            samples.append(now() - begin)
        return Timing(tuple(samples))

    @property
    def session_memory_bytes(self) -> int:
        """What MNN says its session takes, for the present input shapes."""
        return round(float(self._interpreter.getSessionInfo(self._session, _MEMORY)) * 1024 * 1024)

    @property
    def flops(self) -> int:
        """Floating point operations of one run, for the present input shapes."""
        return round(float(self._interpreter.getSessionInfo(self._session, _FLOPS)) * 1e6)

    def close(self) -> None:
        """Give the model's memory back; it cannot be run any more."""
        self._session = None
        self._interpreter = None

    def _named(self, arrays: tuple[ArrayLike, ...], named: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        names = [tensor.name for tensor in self.inputs]
        if len(arrays) > len(names):
            raise InvalidInputError(f"{self.path.name} has {len(names)} inputs, but {len(arrays)} arrays were given.")
        given: dict[str, ArrayLike] = dict(zip(names, arrays, strict=False))
        unknown, twice = sorted(named.keys() - set(names)), sorted(named.keys() & given.keys())
        missing = [name for name in names if name not in given and name not in named]
        if unknown or twice or missing:
            problem = (
                f"has no input {unknown[0]!r}"
                if unknown
                else f"got {twice[0]!r} twice"
                if twice
                else f"lacks the input {missing[0]!r}"
            )
            raise InvalidInputError(
                f"{self.path.name} {problem}.", hint=f"Its inputs are: {', '.join(map(_shown, self.inputs))}."
            )
        given |= named
        return {tensor.name: _fitting(tensor, given[tensor.name]) for tensor in self.inputs}

    def _feed(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if self._session is None:
            raise ModelError(f"{self.path.name} has been closed.", hint="Load it again.")
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != self._shapes:
            self._resize(shapes)
        engine = mnn()
        for name, tensor in self._input_tensors().items():
            array = arrays[name]
            host = engine.Tensor(array.shape, tensor.getDataType(), array, engine.Tensor_DimensionType_Caffe)
            if not tensor.copyFrom(host):
                raise ModelError(f"MNN did not take the array for the input {name!r} of {self.path.name}.")

    def _resize(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        tensors = self._input_tensors()
        with capture() as output:
            for name, shape in shapes.items():
                self._interpreter.resizeTensor(tensors[name], shape)
            self._interpreter.resizeSession(self._session)
        self._native_lines += output.lines
        self._shapes = dict(shapes)
        self._tracer.forget()

    def _run_error(self, code: int) -> ModelError:
        """Run once more with the output captured: MNN's code alone says next to nothing."""
        with capture() as output:
            self._interpreter.runSession(self._session)
        error = _model_error(
            self.path,
            f"does not run: MNN returned code {code}",
            (*self._native_lines, *output.lines),
            "Check the input shapes, and with `edgeloop inspect` whether the model is whole.",
        )
        error.details["mnn_code"] = code
        return error

    def _input_tensors(self) -> dict[str, Any]:
        return dict(self._interpreter.getSessionInputAll(self._session))

    def _output_tensors(self) -> dict[str, Any]:
        return dict(self._interpreter.getSessionOutputAll(self._session))


def _info(name: str, tensor: Any) -> TensorInfo:
    return TensorInfo(name, tuple(tensor.getShape()), _dtype(tensor))


def _dtype(tensor: Any) -> str:
    engine, kind = mnn(), tensor.getDataType()
    for name, dtype in _DTYPES.items():
        if kind == getattr(engine, f"Halide_Type_{name}"):
            return dtype
    return "unknown"


def _read(tensor: Any) -> NDArray[Any]:
    """Copy a tensor out: what MNN hands over is a view of memory that the next run overwrites."""
    engine = mnn()
    shape = tuple(tensor.getShape())
    array = np.zeros(shape, _dtype(tensor))
    if 0 in shape:
        return array
    host = engine.Tensor(shape, tensor.getDataType(), array, engine.Tensor_DimensionType_Caffe)
    if not tensor.copyToHostTensor(host):
        raise ModelError("MNN did not hand out an output.")
    return np.array(host.getNumpyData(), copy=True).reshape(shape)


def _fitting(tensor: TensorInfo, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a contiguous array of the input's dtype. Raises `InvalidInputError` for a wrong shape or dtype."""
    array = np.asarray(value)
    fits = len(array.shape) == len(tensor.shape) and all(
        want in (-1, 0) or want == have or index == 0
        for index, (want, have) in enumerate(zip(tensor.shape, array.shape, strict=True))
    )
    if not fits or array.size == 0:
        raise InvalidInputError(
            f"The input {tensor.name!r} has the shape {list(array.shape)}, but the model takes {list(tensor.shape)}.",
            hint="-1 stands for any size; the first axis counts samples and may differ.",
        )
    if not (np.can_cast(array.dtype, tensor.dtype, "same_kind") or _holds_only_whole(array, tensor.dtype)):
        raise InvalidInputError(
            f"The input {tensor.name!r} is {array.dtype}, but the model takes {tensor.dtype}.",
            hint=f"Convert it on purpose: array.astype({tensor.dtype!r}).",
        )
    return np.ascontiguousarray(array, dtype=tensor.dtype)


def _holds_only_whole(array: NDArray[Any], dtype: str) -> bool:
    """Whether integers of another width all fit into `dtype`."""
    if array.dtype.kind not in "iu" or not dtype.startswith(("int", "uint")):
        return False
    limits = np.iinfo(dtype)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def _shown(tensor: TensorInfo) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"


def _model_error(path: Path, problem: str, lines: tuple[str, ...], hint: str) -> ModelError:
    said = f" MNN says: {'; '.join(lines[-3:])}." if lines else ""
    return ModelError(f"The model {path} {problem}.{said}", hint=hint, details={"native_output": list(lines[-20:])})


def _why_not_loaded(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        return "The file is empty."
    with path.open("rb") as file:
        head = file.read(512)
    if head.isascii() and not any(byte < 9 for byte in head):
        return "The file is a text, not a model."
    if path.suffix == ".onnx":
        return "It is an ONNX model: make an MNN model of it with `edgeloop convert`."
    return f"The file ({size} bytes) is truncated, damaged or not an MNN model; copy or convert it again."
