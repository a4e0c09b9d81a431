"""What a model needs of MNN: one loaded model that takes arrays, runs, and hands arrays out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from edgeloop_shared.errors import ModelError
from edgeloop_task.operator_observer import Observer
from edgeloop_task.tensors import TensorInfo
from edgeloop_task.tracing import Tracer

Precision = Literal["normal", "low", "high"]
_SHOWN_LINES = 3  # in the message itself
_KEPT_LINES = 50


class Session(Protocol):
    """A loaded model. It is used by one thread at a time."""

    inputs: tuple[TensorInfo, ...]
    shows_operators: bool
    """Whether `run_observed` can observe anything."""

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The outputs for the present input shapes; of unknown shape (-1) while those are open."""

    def feed(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take one array of the right dtype for each input. Raises `ModelError` if MNN cannot compute with their shapes."""

    def run(self) -> None:
        """Compute. Raises `ModelError` with MNN's code and lines."""

    def run_observed(self, tracer: Tracer | None, observer: Observer | None) -> None:
        """Compute, let `tracer` record every operator and let `observer` stop at those with breakpoints.

        Raises what a breakpoint's action raised, `RunAbortedError` where one aborted the run, and `ModelError` for a model
        whose operators cannot be observed.
        """

    def results(self) -> dict[str, NDArray[Any]]:
        """Return copies of all outputs."""

    @property
    def memory_bytes(self) -> int:
        """What MNN says that the session takes; 0 where it does not say."""

    @property
    def flops(self) -> int:
        """Floating point operations of a run, as MNN counts them; 0 where it does not say."""


def model_error(path: Path, problem: str, lines: Sequence[str], hint: str, code: int | None = None) -> ModelError:
    """Return the error for a model that MNN refuses; `lines` are MNN's own, the newest last."""
    unique = list(dict.fromkeys(lines))[-_KEPT_LINES:]
    said = f" MNN says: {'; '.join(unique[-_SHOWN_LINES:])}." if unique else ""
    details: dict[str, Any] = {"native_output": unique}
    if code is not None:
        details["mnn_code"] = code
    return ModelError(f"The model {path} {problem}.{said}", hint=hint, details=details)


def lacks_backend(path: Path, backend: str, lines: Sequence[str]) -> ModelError:
    """Return the error for a model that MNN would silently run on another backend than the one that was asked for."""
    what = f"cannot run on the backend {backend!r}, which this build of MNN or this device lacks"
    error = model_error(path, what, lines, "Use backend='cpu'.")
    error.details["lacks_backend"] = True
    return error


def ordered(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Return those of `names` that are `wanted`, in that order; all of them if none is."""
    available = list(names)
    return [name for name in wanted if name in available] or available
