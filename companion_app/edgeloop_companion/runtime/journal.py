"""A run's journal: what its worker says, in the order in which it came, on disk before anybody acts on it.

The worker's guardian appends; the companion follows, also one that was started anew, and removes the segments that it has
passed on. Entries are whole: lines of output, reports, words of the worker. Layout, little-endian, one after the other in
the files `journal.1`, `journal.2`, ...::

    u32 length of the payload, u8 kind, i64 nanoseconds since the UNIX epoch, payload
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

HEADER = struct.Struct("<IBq")
SEGMENT_BYTES = 1024 * 1024
MAX_BYTES = 16 * SEGMENT_BYTES  # what waits for the companion; beyond it the script waits
SPARED_BYTES = 512 * 1024  # of the disk: without room for its records the companion could not pass the journal on
READ_BYTES = 256 * 1024


class Kind(IntEnum):
    """What an entry's payload is."""

    STDOUT = 1
    """Lines in UTF-8 with a newline between them."""
    STDERR = 2
    REPORT = 3
    """A frame of the script's report channel: its kind as one byte, then its payload."""
    UNUSABLE = 4
    """Why a report had to be left out, as text."""
    WORD = 5
    """A word of the worker, see `runtime.worker`."""


@dataclass(frozen=True)
class Entry:
    """One entry; `time_ns` is when it was read from the worker."""

    kind: int
    time_ns: int
    payload: bytes


@dataclass(frozen=True, order=True)
class Cursor:
    """A place between two entries: the number of a segment and the offset in it."""

    segment: int = 1
    offset: int = 0


def pack_entry(kind: Kind, time_ns: int, payload: bytes) -> bytes:
    """Return the bytes of an entry."""
    return HEADER.pack(len(payload), kind, time_ns) + payload


class JournalWriter:
    """Appends to the journal in `folder`. Raises `FileExistsError` when there is one: a run happens once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 1
        self._sizes: dict[int, int] = {1: 0}
        self._file = os.open(_segment(folder, 1), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def append(self, data: bytes) -> None:
        """Append whole entries, all or, when the disk has no room for them, none: then it raises `OSError`."""
        if self._sizes[self._number] >= SEGMENT_BYTES:
            self._begin_segment()
        if self._free_bytes() < SPARED_BYTES + len(data):
            self._release()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = self._sizes[self._number]
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, size)
            os.lseek(self._file, size, os.SEEK_SET)
            raise
        self._sizes[self._number] = size + len(data)

    @property
    def is_full(self) -> bool:
        """Whether as much waits for the companion as may: no more than is free, because its records need as much again."""
        limit = min(MAX_BYTES, self._free_bytes())
        if sum(self._sizes.values()) < limit:
            return False
        self._release()
        return sum(self._sizes.values()) >= limit

    def _release(self) -> None:
        """Forget the segments that the companion has removed; let it remove the present one when there is no other."""
        for number in sorted(self._sizes)[:-1]:
            if _segment(self._folder, number).exists():
                return
            del self._sizes[number]
        if self._sizes[self._number]:
            with contextlib.suppress(OSError):
                self._begin_segment()

    def _begin_segment(self) -> None:
        path = _segment(self._folder, self._number + 1)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(self._file)
        self._file, self._number = file, self._number + 1
        self._sizes[self._number] = 0

    def _free_bytes(self) -> int:
        disk = os.fstatvfs(self._file)
        return disk.f_bavail * disk.f_frsize


class JournalReader:
    """Reads the journal in `folder` from a cursor on."""

    def __init__(self, folder: Path, cursor: Cursor) -> None:
        self._folder = folder
        self.cursor = cursor

    def read(self, max_bytes: int = READ_BYTES) -> list[Entry]:
        """Return whole entries behind the cursor, about `max_bytes` of them, and move the cursor."""
        while True:
            # Asked first: when there is a next segment, this one is complete.
            is_complete = _segment(self._folder, self.cursor.segment + 1).exists()
            entries = self._read_segment(max_bytes)
            if entries or not is_complete:
                return entries
            self.cursor = Cursor(self.cursor.segment + 1)

    def drop_read(self) -> None:
        """Remove the segments before the cursor."""
        number = self.cursor.segment - 1
        while number and _segment(self._folder, number).exists():
            _segment(self._folder, number).unlink()
            number -= 1

    def _read_segment(self, max_bytes: int) -> list[Entry]:
        try:
            with _segment(self._folder, self.cursor.segment).open("rb") as file:
                file.seek(self.cursor.offset)
                data = file.read(max_bytes)
                if len(data) >= HEADER.size:
                    missing = HEADER.size + HEADER.unpack_from(data)[0] - len(data)
                    # No more than is there: a spoiled length must not ask for gigabytes of memory.
                    there = os.fstat(file.fileno()).st_size - self.cursor.offset - len(data)
                    data += file.read(max(0, min(missing, there)))
        except FileNotFoundError:
            return []
        entries = []
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, time_ns = HEADER.unpack_from(data, offset)
            begin = offset + HEADER.size
            if begin + length > len(data):
                break
            entries.append(Entry(kind, time_ns, data[begin : begin + length]))
            offset = begin + length
        self.cursor = Cursor(self.cursor.segment, self.cursor.offset + offset)
        return entries


def has_journal(folder: Path) -> bool:
    """Return whether a worker has begun in `folder`, now or earlier."""
    return any(folder.glob("journal.*"))


def remove_journal(folder: Path) -> None:
    """Remove all segments."""
    with contextlib.suppress(FileNotFoundError):  # the folder goes as well, just now
        for path in folder.glob("journal.*"):
            path.unlink(missing_ok=True)


def join_lines(lines: Iterable[str]) -> bytes:
    """Return the payload for lines of output."""
    return "\n".join(lines).encode()


def _segment(folder: Path, number: int) -> Path:
    return folder / f"journal.{number}"
