"""A hit: an operator at which a run has stopped, as a breakpoint's action sees it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeloop_shared.errors import InvalidInputError, ModelError, RunAbortedError
from edgeloop_shared.operator_hits import MAX_HIT_TENSORS, Answer, OperatorHitReported, Phase, TensorSummary
from edgeloop_task import native_tensors
from edgeloop_task.native_tensors import HostMemory
from edgeloop_task.references import read_array
from edgeloop_task.reporting import report_file
from edgeloop_task.tensor_comparison import TensorComparison
from edgeloop_task.tensor_statistics import TensorStatistics
from edgeloop_task.tensors import converted

_MAX_FILE_NAME = 160


class HitTensor:
    """An input or an output of an operator, there while the run stops at it."""

    def __init__(self, tensor: Any, what: str, memory: HostMemory) -> None:
        self._tensor = tensor
        self._what = what
        self._memory = memory
        self._is_over = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the model's own order of axes."""
        return self._view.shape

    @property
    def dtype(self) -> str:
        """Numpy's name of its dtype; 8-bit activations of a quantised model are float32 here."""
        return self._view.dtype.name

    @property
    def array(self) -> NDArray[Any]:
        """A copy of its numbers."""
        return self._view.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.array if dtype is None else self.array.astype(dtype)

    @cached_property
    def statistics(self) -> TensorStatistics:
        """Its statistics, computed when they are asked for; what was not, cannot be any more once the run has gone on."""
        return TensorStatistics(self._view)

    def compare(self, reference: NDArray[Any]) -> TensorComparison:
        """Return how far it is from `reference`. Raises `InvalidInputError` for another shape."""
        return TensorComparison(self._view, reference)

    def replace(self, value: NDArray[Any]) -> None:
        """Write `value` into it; `OperatorHit.replace` explains."""
        view = self._view
        if value.shape != view.shape:
            raise InvalidInputError(
                f"An array of the shape {list(value.shape)} cannot replace {self._what}, which is {list(view.shape)}.",
                hint="Give it exactly that shape; see numpy.reshape and numpy.transpose.",
            )
        array = np.ascontiguousarray(converted(value, view.dtype.name, f"The array for {self._what}"))
        native_tensors.write(self._tensor, array.reshape(view.shape), self._what)
        self._forget()

    def close(self) -> None:
        """The run goes on: the tensor's memory will hold others."""
        self._is_over = True
        self._forget()

    @cached_property
    def _view(self) -> NDArray[Any]:
        if self._is_over:
            raise ModelError(
                f"The run has gone on, and {self._what} is no longer there.", hint="Copy it in the breakpoint's action."
            )
        return self._memory.view_of(self._tensor, self._what)

    def _forget(self) -> None:
        found = self.__dict__.pop("statistics", None)
        if found is not None:
            found.forget_array()
            if self._is_over:
                self.__dict__["statistics"] = found
        self.__dict__.pop("_view", None)


def summaries_of(tensors: Sequence[HitTensor]) -> tuple[TensorSummary, ...]:
    """Return the statistics that are told of an operator's tensors: of the first `MAX_HIT_TENSORS`."""
    return tuple(tensor.statistics.summary() for tensor in tensors[:MAX_HIT_TENSORS])


@dataclass(frozen=True)
class Place:
    """Where a run has stopped. `occurrence` counts the operators of this name from 1."""

    model: str
    name: str
    type: str
    index: int
    occurrence: int
    iteration: int
    phase: Phase
    source: str | None = None


class OperatorHit:
    """An operator at which a breakpoint hit. Its action reads from it and answers with at most one of its methods.

    `source` is the node of the source model that it comes from, with its type, or None where that is not known.

    `inputs` are there before and after the operator, `outputs` after it. `tensor` is the one for which the condition held (the
    first one without a condition), `number` counts the hits of this breakpoint from 1.
    """

    def __init__(
        self,
        place: Place,
        breakpoint_text: str,
        number: int,
        tensor_index: int,
        inputs: Sequence[HitTensor],
        outputs: Sequence[HitTensor],
    ) -> None:
        self.model = place.model
        self.name = place.name
        self.type = place.type
        self.index = place.index
        self.occurrence = place.occurrence
        self.iteration = place.iteration
        self.phase = place.phase
        self.source = place.source
        self.breakpoint = breakpoint_text
        self.number = number
        self.tensor_index = tensor_index
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.answer: Answer = "continue"

    @property
    def tensors(self) -> tuple[HitTensor, ...]:
        """The inputs before the operator, the outputs after it."""
        return self.inputs if self.phase == "before" else self.outputs

    @property
    def tensor(self) -> HitTensor:
        """The tensor for which the condition held. Raises `ModelError` for an operator without tensors."""
        if not self.tensors:
            raise ModelError(f"The operator {self.name} has no tensors {self.phase} it.")
        return self.tensors[self.tensor_index]

    @property
    def statistics(self) -> TensorStatistics:
        """The statistics of `tensor`."""
        return self.tensor.statistics

    def skip(self) -> None:
        """Leave the operator out: its outputs become its first input where shape and dtype agree, and zeros elsewhere.

        Raises `InvalidInputError` after the operator, when it has run already.
        """
        if self.phase != "before":
            raise InvalidInputError(
                f"The operator {self.name} has run already and cannot be skipped.",
                hint=f"Break before it: 'op:{self.name} before'.",
            )
        self.answer = "skip"

    def replace(self, value: ArrayLike | os.PathLike[str], tensor: int = 0) -> None:
        """Replace an input (before) or an output (after) by an array or by that of a `.npy` file.

        The run goes on with it. Raises `InvalidInputError` for another shape, for numbers that the tensor's dtype does not hold,
        and for a tensor or a file that is none; `NotFoundError` for a missing file.
        """
        if not 0 <= tensor < len(self.tensors):
            raise InvalidInputError(
                f"The operator {self.name} has {len(self.tensors)} tensors {self.phase} it, and none has the number {tensor}.",
                hint="They are numbered from 0.",
            )
        is_file = isinstance(value, str | os.PathLike)
        self.tensors[tensor].replace(read_array(value) if is_file else np.asarray(value))  # type: ignore[arg-type]
        self.answer = "replace"

    def report(self, time_ns: int, tensors: tuple[TensorSummary, ...], *, is_last: bool = False) -> OperatorHitReported:
        """Return what is told of this hit; `tensors` are the statistics of its tensors, from before its action."""
        return OperatorHitReported(
            time_ns=time_ns,
            breakpoint=self.breakpoint,
            model=self.model[:1024],
            operator=self.name[:1024],
            operator_type=self.type[:256],
            index=self.index,
            iteration=self.iteration,
            phase=self.phase,
            answer=self.answer,
            hit=self.number,
            tensor=self.tensor_index,
            tensors=tensors,
            is_last=is_last,
            source=self.source and self.source[:1024],
        )

    def dump(self) -> None:
        """Report every tensor as a file: `operators/MODEL/RUN-INDEX-NAME.out0.npy` (`in0` before the operator)."""
        side = "in" if self.phase == "before" else "out"
        name = quote(self.name, safe="")[:_MAX_FILE_NAME]
        with tempfile.TemporaryDirectory(prefix="edgeloop-dump-") as folder:
            for number, tensor in enumerate(self.tensors):
                path = Path(folder) / f"{side}{number}.npy"
                np.save(path, tensor.array)
                model = quote(self.model, safe="")[:_MAX_FILE_NAME]
                report_file(path, f"operators/{model}/{self.iteration}-{self.index}-{name}.{side}{number}.npy")

    def abort(self, reason: str = "") -> NoReturn:
        """End the run: the call that began it raises `RunAbortedError`, and nothing is computed any more."""
        self.answer = "abort"
        why = f": {reason}" if reason else ""
        raise RunAbortedError(
            f"The run of {self.model} was aborted {self.phase} the operator {self.name} ({self.type}){why}.",
            hint=f"The breakpoint {self.breakpoint!r} asked for it.",
            details={
                "model": self.model,
                "operator": self.name,
                "type": self.type,
                "index": self.index,
                "iteration": self.iteration,
                "breakpoint": self.breakpoint,
            },
        )


Action = Callable[[OperatorHit], object]
