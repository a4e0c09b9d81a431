"""What a trace holds beside operators: spans of code, and counters that were read at intervals.

Both travel as batches of packed columns that explain themselves: the names that a batch needs stand at its end as JSON. Layouts,
little-endian::

    magic "ELSB", u16 version, u16 reserved, u32 count, u32 lost, u32 text length, i64 base_ns
    u16 label[count], u16 track[count], u32 session[count], u32 iteration[count], u64 begin_ns[count] (relative to base_ns),
    u64 duration_ns[count], the text: a `SpanTexts`

    magic "ELCB", u16 version, u16 reserved, u32 count, u32 text length, i64 base_ns
    u64 time_ns[count] (relative to base_ns), for each name f64 value[count] (NaN: not read), the text: a `CounterTexts`
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import InvalidInputError, MessageError

SPANS_MAGIC, COUNTERS_MAGIC = b"ELSB", b"ELCB"
FORMAT_VERSION = 1
SPANS_HEADER = struct.Struct("<4sHHIIIq")
COUNTERS_HEADER = struct.Struct("<4sHHIIq")
BYTES_PER_SPAN = 2 + 2 + 4 + 4 + 8 + 8
MAX_BATCH_SPANS = 512
MAX_BATCH_SAMPLES = 256
MAX_COUNTERS = 16
MAX_LABELS = 1024
MAX_DEPTH = 64
MAX_TEXT_BYTES = 44 * 1024  # a batch fits one record
MAX_NAME = 256
MAX_ATTRIBUTES = 16

SpanKind = Literal["span", "run", "load", "gc"]
"""A block of the script, a run of a model, the loading of one, a collection of Python's garbage collector."""
Scalar = str | int | float | bool

_NAME = {"min_length": 1, "max_length": MAX_NAME}


@dataclass(frozen=True)
class Label:
    """What a span is called, and within which other label of the same batch it lies (-1: in none)."""

    kind: SpanKind
    name: str = field(metadata=_NAME)
    parent: int = field(default=-1, metadata={"ge": -1, "lt": MAX_LABELS})


@dataclass(frozen=True)
class SpanTexts:
    """The texts of a batch: labels (each behind its parent), tracks (a thread, or a task in it), attributes by the span's index."""

    labels: tuple[Label, ...] = field(default=(), metadata={"max_length": MAX_LABELS})
    tracks: tuple[str, ...] = field(default=(), metadata={"max_length": MAX_LABELS})
    attributes: Mapping[str, Mapping[str, Scalar]] = field(
        default_factory=dict, metadata={"max_length": MAX_BATCH_SPANS}
    )

    def __post_init__(self) -> None:
        depths: list[int] = []
        for number, label in enumerate(self.labels):
            if label.parent >= number:
                raise InvalidInputError("A label of a span stands before the one that it lies in.")
            depths.append(1 + (depths[label.parent] if label.parent >= 0 else 0))
            if depths[-1] > MAX_DEPTH:
                raise InvalidInputError(f"Spans are nested deeper than {MAX_DEPTH}.")
        if any(not 0 < len(track) <= MAX_NAME for track in self.tracks):
            raise InvalidInputError(f"A track's name has 1 to {MAX_NAME} characters.")
        for given in self.attributes.values():
            if len(given) > MAX_ATTRIBUTES or any(not 0 < len(name) <= MAX_NAME for name in given):
                raise InvalidInputError(
                    f"A span has at most {MAX_ATTRIBUTES} attributes, with names of 1 to {MAX_NAME} characters."
                )


@dataclass(frozen=True)
class SpanBatch:
    """Spans that have ended, as columns of equal length. `session` and `iteration` are those of a model's run, else zero.

    `lost` counts the spans that were dropped before these, because they came too fast.
    """

    texts: SpanTexts
    label: Sequence[int]
    track: Sequence[int]
    session: Sequence[int]
    iteration: Sequence[int]
    begin_ns: Sequence[int]
    duration_ns: Sequence[int]
    lost: int = 0

    def __len__(self) -> int:
        return len(self.label)

    def path(self, label: int) -> tuple[Label, ...]:
        """Return a label with all that it lies in, the outermost first."""
        found: list[Label] = []
        while label >= 0:
            found.append(self.texts.labels[label])
            label = found[-1].parent
        return tuple(reversed(found))


@dataclass(frozen=True)
class CounterTexts:
    """The counters' names; the last word of each is its unit."""

    names: tuple[str, ...] = field(default=(), metadata={"max_length": MAX_COUNTERS})

    def __post_init__(self) -> None:
        if any(not 0 < len(name) <= MAX_NAME for name in self.names) or len(set(self.names)) != len(self.names):
            raise InvalidInputError(f"Counters have different names of 1 to {MAX_NAME} characters.")


@dataclass(frozen=True)
class CounterBatch:
    """Counters at moments: `values` holds for each name one value per moment, NaN where it could not be read."""

    texts: CounterTexts
    time_ns: Sequence[int]
    values: Sequence[Sequence[float]]

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True)
class TraceStarted:
    """The head of a trace: a process begins to trace.

    `clock_offset_ns` added to the times of its monotonic clock gives the device's own wall clock (ns since the UNIX epoch).
    `counters` are read every `interval_seconds`; `missing` are those that this device does not tell, with the reason.
    """

    time_ns: int = field(metadata={"ge": -(2**62), "lt": 2**62})
    clock_offset_ns: int = field(metadata={"ge": -(2**62), "lt": 2**62})
    interval_seconds: float = field(metadata={"gt": 0, "le": 3600})
    counters: tuple[str, ...] = field(default=(), metadata={"max_length": MAX_COUNTERS})
    missing: Mapping[str, str] = field(default_factory=dict, metadata={"max_length": MAX_COUNTERS})


def pack_spans(batch: SpanBatch) -> bytes:
    """Return the bytes of `batch`. Raises `ValueError` for what no batch may hold."""
    count, text = len(batch), encode_json(batch.texts)
    columns = (batch.label, batch.track, batch.session, batch.iteration, batch.begin_ns, batch.duration_ns)
    if count > MAX_BATCH_SPANS or any(len(column) != count for column in columns) or len(text) > MAX_TEXT_BYTES:
        raise ValueError("a batch of spans is too large, or its columns differ in length")
    base = min(batch.begin_ns, default=0)
    relative = [begin - base for begin in batch.begin_ns]
    try:
        header = SPANS_HEADER.pack(SPANS_MAGIC, FORMAT_VERSION, 0, count, batch.lost, len(text), base)
        packed = [
            array(code, column) for code, column in zip("HHIIQQ", (*columns[:4], relative, columns[5]), strict=True)
        ]
    except (OverflowError, struct.error) as error:
        raise ValueError(f"a number of a batch of spans does not fit its column: {error}") from None
    return header + b"".join(_little_endian(column).tobytes() for column in packed) + text


def unpack_spans(data: bytes) -> SpanBatch:
    """Return the batch in `data`. Raises `MessageError` for anything that `pack_spans` cannot have written."""
    _, count, lost, length, base = _header(data, SPANS_HEADER, SPANS_MAGIC)
    if count > MAX_BATCH_SPANS or len(data) != SPANS_HEADER.size + count * BYTES_PER_SPAN + length:
        raise MessageError(f"A batch of spans announces {count} spans but has {len(data)} bytes.")
    offset = SPANS_HEADER.size
    columns: list[array[int]] = []
    for code, width in zip("HHIIQQ", (2, 2, 4, 4, 8, 8), strict=True):
        columns.append(_little_endian(array(code, data[offset : offset + count * width])))
        offset += count * width
    label, track, session, iteration, begin, duration = columns
    texts = decode_json(SpanTexts, data[offset:], max_bytes=MAX_TEXT_BYTES)
    if max(label, default=-1) >= len(texts.labels) or max(track, default=-1) >= len(texts.tracks):
        raise MessageError("A batch of spans names a label or a track that it does not hold.")
    if abs(base) >= 2**61 or max(begin, default=0) >= 2**61 or max(duration, default=0) >= 2**61:
        raise MessageError("A batch of spans holds a time beyond 73 years.")
    if any(not (name.isascii() and name.isdigit() and int(name[:9]) < count) for name in texts.attributes):
        raise MessageError("A batch of spans has attributes of a span that it does not hold.")
    return SpanBatch(texts, label, track, session, iteration, [base + value for value in begin], duration, lost)


def pack_counters(batch: CounterBatch) -> bytes:
    """Return the bytes of `batch`. Raises `ValueError` for what no batch may hold."""
    count, text = len(batch), encode_json(batch.texts)
    if count > MAX_BATCH_SAMPLES or any(len(values) != count for values in batch.values):
        raise ValueError("a batch of counters is too large, or its columns differ in length")
    base = min(batch.time_ns, default=0)
    header = COUNTERS_HEADER.pack(COUNTERS_MAGIC, FORMAT_VERSION, 0, count, len(text), base)
    columns: list[array[int] | array[float]] = [array("Q", [time - base for time in batch.time_ns])]
    columns += [array("d", values) for values in batch.values]
    return header + b"".join(_little_endian(column).tobytes() for column in columns) + text


def unpack_counters(data: bytes) -> CounterBatch:
    """Return the batch in `data`. Raises `MessageError` for anything that `pack_counters` cannot have written."""
    _, count, length, base = _header(data, COUNTERS_HEADER, COUNTERS_MAGIC)
    if count > MAX_BATCH_SAMPLES or length > len(data):
        raise MessageError(f"A batch of counters announces {count} samples but has {len(data)} bytes.")
    texts = decode_json(CounterTexts, data[len(data) - length :], max_bytes=MAX_TEXT_BYTES)
    if len(data) != COUNTERS_HEADER.size + count * 8 * (1 + len(texts.names)) + length:
        raise MessageError(
            f"A batch of {len(texts.names)} counters and {count} samples does not have {len(data)} bytes."
        )
    begin = COUNTERS_HEADER.size
    times = _little_endian(array("Q", data[begin : begin + 8 * count]))
    if abs(base) >= 2**61 or max(times, default=0) >= 2**61:
        raise MessageError("A batch of counters holds a time beyond 73 years.")
    values = []
    for number in range(len(texts.names)):
        start = begin + 8 * count * (number + 1)
        column = _little_endian(array("d", data[start : start + 8 * count]))
        values.append([value if math.isfinite(value) else math.nan for value in column])
    return CounterBatch(texts, [base + value for value in times], values)


def _header(data: bytes, header: struct.Struct, magic: bytes) -> tuple[int, ...]:
    """Return the numbers of a header behind its version."""
    if len(data) < header.size:
        raise MessageError(f"A trace batch of {len(data)} bytes is shorter than its header.")
    found, version, reserved, *numbers = header.unpack_from(data)
    if found != magic or version != FORMAT_VERSION or reserved:
        raise MessageError("A trace batch does not begin as this edgeloop writes it.")
    return (version, *numbers)


def _little_endian(column: array[int] | array[float]) -> array:  # type: ignore[type-arg]
    if sys.byteorder == "big":
        column.byteswap()
    return column
