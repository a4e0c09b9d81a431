"""The trace format: one table of operators per session, and batches of packed columns.

A *session* is one loaded model on one device. Its table names every operator once, in the order of execution; a batch
holds, per executed operator, its index into the table, the iteration, the begin and the duration. Layout of a batch,
little-endian (`HEADER` then four columns of `count` values)::

    magic "ELTB", u16 version, u16 reserved, u32 session, u32 count, i64 base_ns
    u32 operator[count], u32 iteration[count], u64 begin_ns[count] (relative to base_ns), u64 duration_ns[count]

Times are nanoseconds of one monotonic clock of the device; `OperatorTable.clock_offset_ns` added to them gives
nanoseconds since the UNIX epoch.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeloop_shared.errors import MessageError

FORMAT_VERSION = 1
MAGIC = b"ELTB"
HEADER = struct.Struct("<4sHHIIq")
BYTES_PER_EVENT = 4 + 4 + 8 + 8
MAX_BATCH_EVENTS = 2048  # 48 KiB of columns: a batch and its frame header stay below the link's 64 KiB
MAX_OPERATORS = 10_000


@dataclass(frozen=True)
class Operator:
    """One operator of a model as the runtime executes it (after its own graph optimisation).

    `flops` counts floating point operations in millions, as MNN reports them. Shapes are the runtime's own order. `source` is the
    node of the source model, with its type, where that is known.
    """

    name: str = field(metadata={"max_length": 1024})
    type: str = field(metadata={"max_length": 256})
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    flops: float = 0.0
    source: str | None = field(default=None, metadata={"max_length": 1024, "is_later": True})


@dataclass(frozen=True)
class OperatorTable:
    """What the batches of one session refer to; `operators` is empty where MNN does not show any (models with control flow)."""

    session: int = field(metadata={"ge": 0, "lt": 2**32})
    model: str = field(metadata={"max_length": 1024})
    backend: str = field(metadata={"max_length": 64})
    clock_offset_ns: int
    operators: tuple[Operator, ...] = field(metadata={"max_length": MAX_OPERATORS})
    threads: int | None = field(default=None, metadata={"ge": 1, "le": 1024, "is_later": True})
    precision: str | None = field(default=None, metadata={"max_length": 64, "is_later": True})

    @property
    def has_valid_times(self) -> bool:
        """Whether the times of single operators mean something: other backends than the CPU compute later, by MNN's own word."""
        return self.backend == "cpu"


@dataclass(frozen=True)
class TraceBatch:
    """Executed operators of one session, as columns of equal length, in the order of execution."""

    session: int
    operator: Sequence[int]
    iteration: Sequence[int]
    begin_ns: Sequence[int]
    duration_ns: Sequence[int]

    def __len__(self) -> int:
        return len(self.operator)


def pack_batch(batch: TraceBatch) -> bytes:
    """Return the bytes of `batch`.

    Raises `ValueError` for more than `MAX_BATCH_EVENTS` events, uneven columns, or a number that does not fit its column.
    """
    count = len(batch)
    if count > MAX_BATCH_EVENTS:
        raise ValueError(f"a batch holds at most {MAX_BATCH_EVENTS} events, not {count}")
    if not len(batch.iteration) == len(batch.begin_ns) == len(batch.duration_ns) == count:
        raise ValueError("the columns of a batch differ in length")
    base = min(batch.begin_ns, default=0)
    try:
        header = HEADER.pack(MAGIC, FORMAT_VERSION, 0, batch.session, count, base)
        columns = (
            array("I", batch.operator),
            array("I", batch.iteration),
            array("Q", map((-base).__add__, batch.begin_ns)),
            array("Q", batch.duration_ns),
        )
    except (OverflowError, struct.error) as error:
        raise ValueError(f"a number of a batch does not fit its column: {error}") from None
    if not _fits(base, columns[2], columns[3]):
        raise ValueError("a batch holds a time beyond 73 years")
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    return header + b"".join(column.tobytes() for column in columns)


def unpack_batch(data: bytes) -> TraceBatch:
    """Return the batch in `data`. Raises `MessageError` for anything that `pack_batch` cannot have written."""
    if len(data) < HEADER.size:
        raise MessageError(f"A trace batch of {len(data)} bytes is shorter than its header.")
    magic, version, reserved, session, count, base = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MessageError("A trace batch does not begin with its magic bytes.")
    if version != FORMAT_VERSION:
        raise MessageError(f"A trace batch has format version {version}; this edgeloop reads version {FORMAT_VERSION}.")
    if reserved:
        raise MessageError("A trace batch sets reserved bytes.")
    if count > MAX_BATCH_EVENTS or len(data) != HEADER.size + count * BYTES_PER_EVENT:
        raise MessageError(f"A trace batch announces {count} events but has {len(data)} bytes.")
    columns: list[array[int]] = []
    offset = HEADER.size
    for code, width in (("I", 4), ("I", 4), ("Q", 8), ("Q", 8)):
        column: array[int] = array(code, data[offset : offset + count * width])
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
        offset += count * width
    operator, iteration, begin, duration = columns
    if not _fits(base, begin, duration):
        raise MessageError("A trace batch holds a time beyond 73 years.")
    return TraceBatch(session, operator, iteration, array("q", map(base.__add__, begin)), duration)


def joined(batches: Sequence[TraceBatch]) -> TraceBatch:
    """Return batches of one session as one, its columns as arrays."""
    columns = (array("I"), array("I"), array("q"), array("Q"))
    for batch in batches:
        for column, more in zip(
            columns, (batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns), strict=True
        ):
            is_alike = isinstance(more, array) and more.typecode == column.typecode
            column.extend(more if is_alike else array(column.typecode, more))
    return TraceBatch(batches[0].session, *columns)


def _fits(base: int, begin: Sequence[int], duration: Sequence[int]) -> bool:
    """Whether every begin and end stays within 64 bits."""
    return abs(base) < 2**61 and max(begin, default=0) < 2**61 and max(duration, default=0) < 2**61
