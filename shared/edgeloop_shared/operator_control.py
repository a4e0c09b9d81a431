"""What the daemon asks of a running script's breakpoints on operators, over a channel with the purpose `control`.

Requests and replies are lines of JSON, one reply per request, in their order. Behind a request that announces `size` bytes come
these bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeloop_shared.bundles import MAX_PATH_CHARACTERS, check_bundle_path
from edgeloop_shared.codec import decode, decode_json, encode_json, members, parse_json, printable
from edgeloop_shared.errors import InvalidInputError, MessageError
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS, OperatorBreakpointOrder
from edgeloop_shared.operator_hits import MAX_HIT_TENSORS, NotFinite, TensorSummary

CONTROL = "control"
"""The purpose of the channel."""
MAX_LINE_BYTES = 256 * 1024
MAX_ARRAY_BYTES = 256 * 1024**2
MAX_SLICE_VALUES = 2048
HISTOGRAM_BINS = 40
MAX_SLICE_CHARACTERS = 200

_STOP = {"ge": 1}
_TENSOR = {"ge": 0, "lt": MAX_HIT_TENSORS}
_SIZE = {"ge": 0, "le": MAX_ARRAY_BYTES}
_INDEX = re.compile(r" *(?:(-?\d{1,9})|(-?\d{1,9})? *:(?: *(-?\d{1,9})?)(?: *: *(-?\d{1,9})?)?|(\.\.\.)) *", re.ASCII)

Side = Literal["in", "out"]
StopAnswer = Literal["continue", "skip", "abort", "dump"]


@dataclass(frozen=True)
class SetBreakpoints:
    """Have these breakpoints on and no others from outside; one that is on already goes on counting."""

    breakpoints: tuple[OperatorBreakpointOrder, ...] = field(metadata={"max_length": MAX_BREAKPOINTS})


@dataclass(frozen=True)
class AnswerStop:
    """Let a run that waits go on, skip the operator, abort the run, or report its tensors as files and wait on (`dump`)."""

    stop: int = field(metadata=_STOP)
    answer: StopAnswer


@dataclass(frozen=True)
class ReplaceTensor:
    """Replace an input (before the operator) or an output (after it) by a `.npy` file of `size` bytes or by `fill`, and wait on."""

    stop: int = field(metadata=_STOP)
    tensor: int = field(metadata=_TENSOR)
    size: int = field(default=0, metadata=_SIZE)
    fill: float | NotFinite | None = None

    def __post_init__(self) -> None:
        if bool(self.size) == (self.fill is not None):
            raise InvalidInputError("A tensor is replaced either by a file or by one number.")


@dataclass(frozen=True)
class ReadTensor:
    """Return a part of an operator's tensor, written as an index of numpy's: `0,:,3`, `...,::2`."""

    stop: int = field(metadata=_STOP)
    side: Side
    tensor: int = field(metadata=_TENSOR)
    part: str = field(default="...", metadata={"min_length": 1, "max_length": MAX_SLICE_CHARACTERS})

    def __post_init__(self) -> None:
        parse_index(self.part)


@dataclass(frozen=True)
class GiveFile:
    """Put a file of `size` bytes among the run's files: a reference for a breakpoint."""

    path: str = field(metadata={"min_length": 1, "max_length": MAX_PATH_CHARACTERS})
    size: int = field(metadata=_SIZE)

    def __post_init__(self) -> None:
        check_bundle_path(self.path)


Request = SetBreakpoints | AnswerStop | ReplaceTensor | ReadTensor | GiveFile

REQUEST_KINDS: Mapping[str, type[Request]] = {
    "set-breakpoints": SetBreakpoints,
    "answer-stop": AnswerStop,
    "replace-tensor": ReplaceTensor,
    "read-tensor": ReadTensor,
    "give-file": GiveFile,
}
"""The requests by their `type`."""


@dataclass(frozen=True)
class Histogram:
    """How many finite numbers lie in each of the equal bins between `low` and `high`."""

    low: float
    high: float
    counts: tuple[int, ...] = field(metadata={"max_length": HISTOGRAM_BINS})


@dataclass(frozen=True)
class TensorPart:
    """A part of a tensor: its statistics and its first numbers, at most `MAX_SLICE_VALUES`, in its order of axes."""

    summary: TensorSummary
    values: tuple[float | NotFinite, ...] = field(metadata={"max_length": MAX_SLICE_VALUES})
    histogram: Histogram | None = None


@dataclass(frozen=True)
class Reply:
    """What became of a request: done (`error` None, with what was asked for), or refused (an error as a dictionary)."""

    error: Mapping[str, Any] | None = None
    part: TensorPart | None = None


def encode_request(request: Request) -> bytes:
    """Return the line of a request, without the bytes that it announces."""
    name = next(name for name, kind in REQUEST_KINDS.items() if kind is type(request))
    return encode_json({"type": name, **members(request)}) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return the request in a line. Raises `MessageError` for anything else."""
    record = parse_json(line, max_bytes=MAX_LINE_BYTES)
    name = record.pop("type", None) if isinstance(record, dict) else None
    kind = REQUEST_KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MessageError(
            "There is no such request.", details={"type": printable(name) if isinstance(name, str) else ""}
        )
    try:
        return decode(kind, record)
    except InvalidInputError as error:
        raise MessageError(f"A {name} request does not fit: {error.message}", details=error.details) from None


def encode_reply(reply: Reply) -> bytes:
    """Return the line of a reply."""
    return encode_json(reply) + b"\n"


def decode_reply(line: bytes) -> Reply:
    """Return the reply in a line. Raises `MessageError` for anything else."""
    return decode_json(Reply, line, max_bytes=MAX_LINE_BYTES)


def parse_index(text: str) -> tuple[Any, ...]:
    """Return the index that `text` writes as numpy does: integers, slices and one `...`. Raises `InvalidInputError`."""
    index: list[Any] = []
    parts = text.split(",")
    for part in parts:
        found = _INDEX.fullmatch(part)
        if found is None or len(parts) > 32:
            raise InvalidInputError(
                f"{printable(text)!r} is no index of a tensor: `{printable(part, 20)}` is no part of one.",
                hint="Write numbers and ranges, as in `0,:,3` or `...,::2`.",
                details={"fields": [{"field": "slice", "message": "is no index"}]},
            )
        number, start, stop, step, dots = found.groups()
        if number is not None:
            index.append(int(number))
        elif dots:
            index.append(...)
        else:
            index.append(slice(*(None if one is None else int(one) for one in (start, stop, step))))
    if index.count(...) > 1 or any(isinstance(one, slice) and one.step == 0 for one in index):
        raise InvalidInputError(
            f"{printable(text)!r} is no index of a tensor.", hint="One `...` is allowed, and no step of 0."
        )
    return tuple(index)
