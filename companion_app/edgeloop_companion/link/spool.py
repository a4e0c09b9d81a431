"""The spool of one run: its records on disk until the daemon has stored them.

Records are written before they are sent, so that a companion which is started anew sends the very same ones. The files
`spool.1`, `spool.2`, ... hold frames; each frame is one step of the run and takes effect as a whole::

    u32 length, u32 CRC-32 of what follows, a line of JSON (what the frame holds, and how far the journal was passed on), payloads

The first frame of a file repeats the state of the run, so that earlier files can go once their records are stored. A frame
that was cut off by a kill is the last one and was never sent: it is dropped. Any other damage is an error.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeloop_companion.runtime.journal import Cursor
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.records import GAP, Priority
from edgeloop_shared.run_events import Gap

SEGMENT_BYTES = 2 * 1024 * 1024
_HEADER = struct.Struct("<II")
SPARED_BYTES = 1024 * 1024
"""Of the disk, for events and for twice what the journal spares: with a full spool, output still comes as far as a gap."""
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpoolDamagedError(EdgeloopError):
    """The spool of a run cannot be read: what it held and the daemon did not is lost."""

    code = "spool-damaged"


@dataclass(frozen=True)
class SpoolState:
    """What is known of a run besides its records.

    `last` are the streams' last sequence numbers, `gaps` what was dropped and not yet told, `cursor` how far the journal was
    passed on, `files` the announced files (sizes in bytes by SHA-256), `failure` the error of the script, `traced` the
    `clock_offset_ns` of its newest trace.
    """

    last: Mapping[Priority, int] = field(default_factory=lambda: dict.fromkeys(Priority, 0))
    gaps: Mapping[Priority, Gap] = field(default_factory=dict)
    cursor: Cursor = field(default_factory=Cursor)
    files: Mapping[str, int] = field(default_factory=dict)
    failure: Mapping[str, Any] | None = None
    traced: int | None = None
    is_closed: bool = False


@dataclass
class SpooledRecord:
    """A record of the spool: where its payload lies, and the payload while it is in memory."""

    priority: Priority
    sequence: int
    flags: int
    length: int
    segment: int = 0
    offset: int = 0
    payload: bytes | None = None


class RunSpool:
    """The files of one run's spool in `folder`. Methods block; one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._size = 0

    def load(self) -> tuple[SpoolState, list[SpooledRecord]]:
        """Return what an earlier companion left. Raises `SpoolDamagedError`."""
        numbers = sorted(int(path.suffix[1:]) for path in self._folder.glob("spool.*"))
        state = SpoolState()
        records: list[SpooledRecord] = []
        for number in numbers:
            is_last = number == numbers[-1]
            try:
                end, state = self._load_segment(number, state, records, is_last=is_last)
            except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
                raise SpoolDamagedError(
                    f"{self._path(number)} cannot be read: {error}.",
                    hint="What it held is lost. Check the device's disk if this repeats.",
                ) from error
            self._number, self._size = number, end
        return state, records

    def write(self, state: SpoolState, added: SpoolState, records: Sequence[SpooledRecord]) -> None:
        """Append a frame with the records (whose places it sets) and the state that holds then.

        Of `added` count the files, the failure and the trace that are new. Raises `OSError` when the disk has no room for it,
        output and traces above what is spared for the rest; then nothing has changed.
        """
        if any(record.priority is not Priority.EVENTS and not record.flags & GAP for record in records):
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < SPARED_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        number, size = self._number, self._size
        data = b""
        if not number or size >= SEGMENT_BYTES:
            number, size = number + 1, 0
            before = replace(state, last=_before(state.last, records))
            data = _frame(_whole(before), b"")
        header = {
            **_small(state),
            "files": dict(added.files),
            "failure": added.failure,
            "traced": added.traced,
            "records": [_row(record) for record in records],
        }
        payloads = [record.payload or b"" for record in records]
        frame = _frame(header, b"".join(payloads))
        data += frame
        offset = size + len(data) - sum(map(len, payloads))
        self._append(number, size, data)
        self._number, self._size = number, size + len(data)
        for record, payload in zip(records, payloads, strict=True):
            record.segment, record.offset = number, offset
            offset += len(payload)

    def read(self, records: Sequence[SpooledRecord]) -> list[bytes]:
        """Return the payloads of records. Raises `OSError`."""
        payloads = []
        for record in records:
            with self._path(record.segment).open("rb") as file:
                file.seek(record.offset)
                payloads.append(file.read(record.length))
        return payloads

    def drop_before(self, segment: int) -> None:
        """Remove the files before the one with this number."""
        number = min(segment, self._number) - 1
        while number and self._path(number).exists():
            self._path(number).unlink()
            number -= 1

    def renew(self, state: SpoolState) -> None:
        """Begin a new file although the present one is not full: everything in it is stored."""
        number = self._number + 1
        data = _frame(_whole(state), b"")
        self._append(number, 0, data)
        self._number, self._size = number, len(data)

    def _append(self, number: int, size: int, data: bytes) -> None:
        file = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            try:
                while view:
                    written = os.pwrite(file, view, size + len(data) - len(view))
                    view = view[written:]
            except OSError:
                os.ftruncate(file, size)
                if not size:
                    self._path(number).unlink()
                raise
        finally:
            os.close(file)

    def _load_segment(
        self, number: int, state: SpoolState, records: list[SpooledRecord], *, is_last: bool
    ) -> tuple[int, SpoolState]:
        path = self._path(number)
        data = path.read_bytes()
        offset = 0
        while offset < len(data):
            begin = offset + _HEADER.size
            if begin > len(data) or begin + _HEADER.unpack_from(data, offset)[0] > len(data):
                if not is_last:
                    raise ValueError(f"the frame at {offset} is cut off")
                os.truncate(path, offset)
                break
            length, checksum = _HEADER.unpack_from(data, offset)
            body = data[begin : begin + length]
            if zlib.crc32(body) != checksum:
                raise ValueError(f"the frame at {offset} is spoiled")
            line = body.partition(b"\n")[0]
            header: dict[str, Any] = json.loads(line)
            place = begin + len(line) + 1
            state = _read_state(header, state)
            for priority, sequence, length_of_payload, flags in header.get("records", ()):
                record = SpooledRecord(Priority(priority), sequence, flags, length_of_payload, number, place)
                records.append(record)
                place += length_of_payload
                state = replace(state, last={**state.last, record.priority: sequence})
            if place != begin + length:
                raise ValueError(f"the frame at {offset} does not hold what it says")
            offset = begin + length
        if not offset:  # a kill came before its first frame was whole
            path.unlink()
        return offset, state

    def _path(self, number: int) -> Path:
        return self._folder / f"spool.{number}"


def _frame(header: Mapping[str, Any], payloads: bytes) -> bytes:
    body = json.dumps(header, separators=(",", ":")).encode() + b"\n" + payloads
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _row(record: SpooledRecord) -> list[int]:
    return [record.priority, record.sequence, record.length, record.flags]


def _before(last: Mapping[Priority, int], records: Sequence[SpooledRecord]) -> dict[Priority, int]:
    """Return the last sequence numbers as they were before `records`."""
    found = dict(last)
    for record in reversed(records):
        found[record.priority] = record.sequence - 1
    return found


def _whole(state: SpoolState) -> dict[str, Any]:
    last = {priority.name: last for priority, last in state.last.items()}
    return {
        **_small(state),
        "last": last,
        "files": dict(state.files),
        "failure": state.failure,
        "traced": state.traced,
    }


def _small(state: SpoolState) -> dict[str, Any]:
    return {
        "gaps": {priority.name: vars(gap) for priority, gap in state.gaps.items()},
        "cursor": [state.cursor.segment, state.cursor.offset],
        "closed": state.is_closed,
    }


def _read_state(header: Mapping[str, Any], state: SpoolState) -> SpoolState:
    last = {Priority[name]: int(sequence) for name, sequence in header.get("last", {}).items()}
    return SpoolState(
        last={**state.last, **last},
        gaps={Priority[name]: Gap(**gap) for name, gap in header["gaps"].items()},
        cursor=Cursor(*header["cursor"]),
        files={**state.files, **header["files"]},
        failure=header["failure"] or state.failure,
        traced=state.traced if header["traced"] is None else int(header["traced"]),
        is_closed=bool(header["closed"]),
    )
