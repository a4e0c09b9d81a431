"""What is told of a tensor and of an operator at which a breakpoint hit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.codec import printable
from edgeloop_shared.models import NAME_PATTERN

FIRST_VALUES = 8  # of a tensor, in a summary
MAX_HIT_TENSORS = 64  # of an operator, in a report
MAX_BREAKPOINT_CHARACTERS = 2048  # of a breakpoint's text

Phase = Literal["before", "after"]
Answer = Literal["continue", "skip", "replace", "abort"]
NotFinite = Literal["nan", "inf", "-inf"]

_COUNT = {"ge": 0}


@dataclass(frozen=True)
class TensorSummary:
    """Statistics of one tensor; those of its numbers are over the finite ones, None where there are none.

    `std` is of all values (no estimate), `p99_abs` the 99th percentile of their distances from zero.
    """

    shape: tuple[int, ...] = field(metadata={"max_length": 32})
    dtype: str = field(metadata={"min_length": 1, "max_length": 32, "pattern": NAME_PATTERN})
    count: int = field(metadata=_COUNT)
    nan_count: int = field(metadata=_COUNT)
    inf_count: int = field(metadata=_COUNT)
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    abs_max: float | None
    p99_abs: float | None
    first: tuple[float | NotFinite, ...] = field(default=(), metadata={"max_length": FIRST_VALUES})


@dataclass(frozen=True)
class OperatorHitReported:
    """A breakpoint hit at an operator; `tensors` are its inputs (`before`) or its outputs (`after`).

    `breakpoint` is its selector, and its condition behind ` when `. `iteration` counts the model's runs from 0, `index` its
    operators in the order of execution. `tensor` is the one for which the condition held. `hit` counts the hits of this breakpoint
    from 1; when `is_last` is set, later ones are counted but no longer reported. `source` is the node of the source model, with its
    type, where that is known.
    """

    time_ns: int
    breakpoint: str = field(metadata={"min_length": 1, "max_length": MAX_BREAKPOINT_CHARACTERS})
    model: str = field(metadata={"max_length": 1024})
    operator: str = field(metadata={"max_length": 1024})
    operator_type: str = field(metadata={"max_length": 256})
    index: int = field(metadata=_COUNT)
    iteration: int = field(metadata=_COUNT)
    phase: Phase
    answer: Answer
    hit: int = field(metadata={"ge": 1})
    tensor: int = field(metadata=_COUNT)
    tensors: tuple[TensorSummary, ...] = field(metadata={"max_length": MAX_HIT_TENSORS})
    is_last: bool = False
    source: str | None = field(default=None, metadata={"max_length": 1024, "is_later": True})


def hit_lines(hit: OperatorHitReported) -> tuple[str, ...]:
    """Return a hit in a line for a reader, and a second one where it was the last to be told."""
    answer = "" if hit.answer == "continue" else f" -> {hit.answer}"
    where = f"{printable(hit.operator, 60)} ({type_words(hit)}), run {hit.iteration}"
    number = min(hit.tensor, len(hit.tensors) - 1)
    found = f": {_summary_words(hit.phase, number, hit.tensors[number])}" if hit.tensors else f", {hit.phase}"
    line = f"{printable(hit.breakpoint, 80)}: {where}{found}{answer}"
    last = f"{printable(hit.breakpoint, 80)}: {hit.hit} hits; further ones are counted, not told"
    return (line, last) if hit.is_last else (line,)


def type_words(hit: OperatorHitReported) -> str:
    """Return for a reader what kind of an operator it is, and which node of the source model: `Convolution #3, node c3 (Conv)`."""
    node = f", node {printable(hit.source, 60)}" if hit.source else ""
    return f"{printable(hit.operator_type, 30)} #{hit.index}{node}"


def _summary_words(phase: Phase, number: int, tensor: TensorSummary) -> str:
    blemishes = "".join(
        f", {count} {word}" for count, word in ((tensor.nan_count, "NaN"), (tensor.inf_count, "inf")) if count
    )
    figures = ((name, getattr(tensor, name)) for name in ("min", "max", "mean", "std"))
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures if value is not None)
    side = "in" if phase == "before" else "out"
    return f"{side}[{number}] {tensor.dtype} {list(tensor.shape)}{blemishes}" + (f", {told}" if told else "")
