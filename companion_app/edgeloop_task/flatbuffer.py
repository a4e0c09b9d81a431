"""A flatbuffer that nobody has vouched for: every position is checked before it is read.

Source of the format: FlatBuffers' internals ("FlatBuffer Internals", Google).
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterator
from typing import TypeAlias

Bytes: TypeAlias = "mmap.mmap | bytes"


class DamagedError(Exception):
    """The bytes contradict themselves; the text says how."""


class Table:
    """A flatbuffer table whose every position is checked before it is read."""

    def __init__(self, data: Bytes, position: int, budget: list[int]) -> None:
        self._data = data
        self._position = position
        self._budget = budget  # bytes of vectors that may still be read: no honest file stores one twice
        vtable = position - _number("<i", data, position)
        size = _number("<H", data, vtable)
        if size < 4 or size % 2:
            raise DamagedError(f"the table at byte {position} has no layout")
        self._spend(size)
        _require(data, vtable, size)
        self._fields = struct.unpack_from(f"<{size // 2 - 2}H", data, vtable + 4)

    @classmethod
    def root(cls, data: Bytes) -> Table:
        """Return the root table. Raises `DamagedError`, as do all methods, where the bytes contradict themselves."""
        # Layouts are shared between tables, so an honest file is read more than once over.
        return cls(data, _number("<I", data, 0), [16 * len(data) + 4096])

    def integer(self, field: int, default: int = 0) -> int:
        """Return a 32-bit integer."""
        at = self._at(field)
        return _number("<i", self._data, at) if at else default

    def byte(self, field: int) -> int:
        """Return an 8-bit number."""
        at = self._at(field)
        return _number("<B", self._data, at) if at else 0

    def text(self, field: int) -> str:
        """Return a string; empty where there is none."""
        at = self._target(field)
        return self._text(at) if at else ""

    def texts(self, field: int) -> list[str]:
        """Return the strings of a vector."""
        return [self._text(at) for at in self._elements(field)]

    def integers(self, field: int) -> array[int]:
        """Return the 32-bit integers of a vector."""
        at = self._target(field)
        return self._integers(at, "i") if at else array("i")

    def long_integers(self, field: int) -> array[int]:
        """Return the 64-bit integers of a vector."""
        at = self._target(field)
        return self._integers(at, "q") if at else array("q")

    def tables(self, field: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        for at in self._elements(field):
            yield Table(self._data, at, self._budget)

    def table(self, field: int) -> Table | None:
        """Return a table, or None where there is none."""
        at = self._target(field)
        return Table(self._data, at, self._budget) if at else None

    def _elements(self, field: int) -> Iterator[int]:
        at = self._target(field)
        if at:
            for index, offset in enumerate(self._integers(at, "I")):
                yield at + 4 + 4 * index + offset

    def _integers(self, at: int, code: str) -> array[int]:
        count = _number("<I", self._data, at)
        size = count * struct.calcsize(f"<{code}")
        self._spend(size)
        _require(self._data, at + 4, size)
        return array(code, struct.unpack_from(f"<{count}{code}", self._data, at + 4))

    def _text(self, at: int) -> str:
        size = _number("<I", self._data, at)
        self._spend(size)
        _require(self._data, at + 4, size)
        return bytes(self._data[at + 4 : at + 4 + size]).decode("utf-8", "replace")

    def _at(self, field: int) -> int:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._position + offset if offset else 0

    def _target(self, field: int) -> int:
        at = self._at(field)
        return at + _number("<I", self._data, at) if at else 0

    def _spend(self, size: int) -> None:
        self._budget[0] -= size
        if self._budget[0] < 0:
            raise DamagedError("its parts overlap")


def _number(code: str, data: Bytes, at: int) -> int:
    _require(data, at, struct.calcsize(code))
    return int(struct.unpack_from(code, data, at)[0])


def _require(data: Bytes, at: int, size: int) -> None:
    if at < 0 or at + size > len(data):
        raise DamagedError(f"{size} bytes at byte {at} are missing from its {len(data)}")
