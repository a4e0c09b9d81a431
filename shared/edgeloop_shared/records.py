"""Records: the numbered binary frames in which a device reports a run's events, logs and traces.

Each run has three streams, `<run id>.events`, `.logs` and `.traces`. Records of a stream count from 1; the daemon stores
each exactly once and acknowledges cumulatively. A payload longer than `MAX_PAYLOAD` is split: all parts but the last are
marked as continued. Where a device had to drop payloads, a record marked as a gap stands in their place and says what is
missing (`edgeloop_shared.messages.Gap`): nothing is lost silently.
Layout, little-endian::

    u8 version, u8 flags (1: continued, 2: gap), u8 stream length, u8 reserved, u64 sequence, stream (ASCII), payload
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from edgeloop_shared.errors import MessageError

RECORD_VERSION = 1
HEADER = struct.Struct("<BBBBQ")
CONTINUED = 1
GAP = 2
MAX_PAYLOAD = 60 * 1024
_STREAM = re.compile(r"\A[a-z0-9]{1,32}\.(events|logs|traces)\Z")


class Priority(IntEnum):
    """Which stream goes first when both wait; a lower number is sent earlier."""

    EVENTS = 0
    LOGS = 1
    TRACES = 2


@dataclass(frozen=True)
class Record:
    """One record of a stream."""

    stream: str
    sequence: int
    payload: bytes
    continued: bool = False
    is_gap: bool = False

    @property
    def run_id(self) -> str:
        """The run that the record belongs to."""
        return self.stream.partition(".")[0]


def stream_name(run_id: str, priority: Priority) -> str:
    """Return the name of a run's stream."""
    return f"{run_id}.{priority.name.lower()}"


def stream_priority(stream: str) -> Priority:
    """Return the priority of a stream. Raises `MessageError` for a name that is none."""
    match = _STREAM.match(stream)
    if match is None:
        raise MessageError("A record names a stream that does not exist.", details={"stream": stream[:64]})
    return Priority[match[1].upper()]


def split(payload: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the parts of a payload and whether another one follows."""
    for start in range(0, max(len(payload), 1), MAX_PAYLOAD):
        yield payload[start : start + MAX_PAYLOAD], start + MAX_PAYLOAD < len(payload)


def join(records: Iterable[tuple[bytes, bool]], *, max_bytes: int) -> Iterator[bytes]:
    """Yield whole payloads from `(payload, continued)` parts in order; an unfinished last one is left out.

    Raises `MessageError` for a whole that exceeds `max_bytes`.
    """
    parts: list[bytes] = []
    size = 0
    for part, continued in records:
        size += len(part)
        if size > max_bytes:
            raise MessageError(f"A record in parts exceeds the limit of {max_bytes} bytes.")
        parts.append(part)
        if not continued:
            yield b"".join(parts)
            parts, size = [], 0


def pack_record(record: Record) -> bytes:
    """Return the binary frame of `record`."""
    name = record.stream.encode("ascii")
    flags = CONTINUED * record.continued | GAP * record.is_gap
    return HEADER.pack(RECORD_VERSION, flags, len(name), 0, record.sequence) + name + record.payload


def unpack_record(frame: bytes) -> Record:
    """Return the record in `frame`. Raises `MessageError` for anything that `pack_record` cannot have written."""
    if len(frame) < HEADER.size:
        raise MessageError(f"A record of {len(frame)} bytes is shorter than its header.")
    version, flags, length, reserved, sequence = HEADER.unpack_from(frame)
    start = HEADER.size + length
    if version != RECORD_VERSION or flags not in (0, CONTINUED, GAP) or reserved or not 0 < sequence < 2**63:
        raise MessageError("A record's header does not fit protocol version 1.")
    if start > len(frame) or len(frame) - start > MAX_PAYLOAD:
        raise MessageError(f"A record of {len(frame)} bytes does not fit its header.")
    try:
        stream = frame[HEADER.size : start].decode("ascii")
    except UnicodeDecodeError:
        raise MessageError("A record's stream name is not ASCII.") from None
    stream_priority(stream)
    if flags & CONTINUED and start == len(frame):  # any number of them would join to nothing
        raise MessageError("A record that another one continues is empty.")
    return Record(stream, sequence, frame[start:], bool(flags & CONTINUED), bool(flags & GAP))
