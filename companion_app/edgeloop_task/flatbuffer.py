"""A flatbuffer that nobody has vouched for: every position is checked before it is read.

The flatbuffers runtime reads wherever an offset points (a negative slice, far outside, in circles). Here each table,
vector and string is checked against the file's end, and a budget bounds how much one file may make us look at, so that a
hostile file ends in a `FlatbufferError` and never in a crash, in unbounded memory or in hours.
Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgeloop_task.mapped_file import Bytes

MAX_TABLES = 1_000_000
MAX_TEXT_BYTES = 32 * 1024 * 1024
MAX_STRING_BYTES = 64 * 1024


class FlatbufferError(ValueError):
    """The bytes break the format, or hold more than anybody can mean; the text says where."""


@dataclass
class _Budget:
    vectors: int  # bytes that may still be read, layouts of tables included: no honest file stores one many times over
    tables: int = MAX_TABLES
    text: int = MAX_TEXT_BYTES

    def spend(self, size: int) -> None:
        """Take `size` bytes out of what may still be read."""
        self.vectors -= size
        if self.vectors < 0:
            raise FlatbufferError("its parts overlap")


@dataclass(frozen=True)
class Vector:
    """A vector inside the file: where its elements begin, how many there are, and the bytes that they take."""

    start: int
    count: int
    nbytes: int


@dataclass(frozen=True)
class Table:
    """A table of the file. Fields are asked for by their id in the schema; a field that is not there gives its default.

    Every method raises `FlatbufferError` if the bytes cannot be what the schema says.
    """

    data: Bytes
    position: int
    _fields: tuple[int, ...]
    _inline_end: int
    _budget: _Budget

    @classmethod
    def root(cls, data: Bytes) -> Table:
        """Return the root table of `data`."""
        if len(data) < 8:
            raise FlatbufferError(f"{len(data)} bytes hold no table")
        return cls._at(data, _uint32(data, 0), _Budget(16 * len(data) + 4096))

    @classmethod
    def _at(cls, data: Bytes, position: int, budget: _Budget) -> Table:
        budget.tables -= 1
        if budget.tables < 0:
            raise FlatbufferError(f"it holds more than {MAX_TABLES} tables")
        vtable = position - _number("<i", data, position)
        _require(data, vtable, 4)
        vtable_bytes, inline_bytes = _uint16(data, vtable), _uint16(data, vtable + 2)
        if vtable_bytes < 4 or vtable_bytes % 2 or inline_bytes < 4:
            raise FlatbufferError(f"the table at byte {position} has no valid layout")
        budget.spend(vtable_bytes)
        _require(data, vtable, vtable_bytes)
        _require(data, position, inline_bytes)
        fields = struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", data, vtable + 4)
        return cls(data, position, fields, position + inline_bytes, budget)

    def int32(self, number: int, default: int = 0) -> int:
        """Return the 32-bit integer of field `number`."""
        at = self._field(number, 4)
        return default if at is None else _number("<i", self.data, at)

    def int8(self, number: int, default: int = 0) -> int:
        """Return the byte of field `number`; enums and union types are stored like this."""
        at = self._field(number, 1)
        return default if at is None else _number("<b", self.data, at)

    def text(self, number: int) -> str:
        """Return the string of field `number`; what is not UTF-8 in it is shown replaced."""
        at = self._target(number)
        return "" if at is None else self._text(at)

    def table(self, number: int) -> Table | None:
        """Return the table of field `number`, or None."""
        at = self._target(number)
        return None if at is None else Table._at(self.data, at, self._budget)

    def vector(self, number: int, element_bytes: int) -> Vector:
        """Return the vector of field `number`, whose elements take `element_bytes` each."""
        at = self._target(number)
        return Vector(0, 0, 0) if at is None else self._vector(at, element_bytes)

    def tables(self, number: int) -> Iterator[Table]:
        """Yield the tables of the vector in field `number`."""
        for at in self._elements(number):
            yield Table._at(self.data, at, self._budget)

    def texts(self, number: int) -> tuple[str, ...]:
        """Return the strings of the vector in field `number`."""
        return tuple(self._text(at) for at in self._elements(number))

    def int32s(self, number: int, limit: int = 4096) -> tuple[int, ...]:
        """Return the 32-bit integers of the vector in field `number`; more than `limit` of them are an error."""
        return self._integers(number, "i", limit)

    def int64s(self, number: int, limit: int = 4096) -> tuple[int, ...]:
        """Return the 64-bit integers of the vector in field `number`; more than `limit` of them are an error."""
        return self._integers(number, "q", limit)

    def bytes_of(self, vector: Vector, count: int) -> bytes:
        """Return up to the first `count` bytes of `vector`."""
        return bytes(self.data[vector.start : vector.start + min(count, vector.nbytes)])

    def _integers(self, number: int, code: str, limit: int) -> tuple[int, ...]:
        vector = self.vector(number, struct.calcsize(f"<{code}"))
        if vector.count > limit:
            raise FlatbufferError(f"a list of {vector.count} integers stands where at most {limit} can be meant")
        self._budget.spend(vector.nbytes)
        return struct.unpack_from(f"<{vector.count}{code}", self.data, vector.start)

    def _field(self, number: int, size: int) -> int | None:
        offset = self._fields[number] if number < len(self._fields) else 0
        if not offset:
            return None
        at = self.position + offset
        if offset < 4 or at + size > self._inline_end:
            raise FlatbufferError(f"field {number} of the table at byte {self.position} lies outside of it")
        return at

    def _target(self, number: int) -> int | None:
        at = self._field(number, 4)
        return None if at is None else self._follow(at)

    def _follow(self, at: int) -> int:
        target = at + _uint32(self.data, at)
        _require(self.data, target, 4)
        return target

    def _vector(self, at: int, element_bytes: int) -> Vector:
        count = _uint32(self.data, at)
        _require(self.data, at + 4, count * element_bytes)
        return Vector(at + 4, count, count * element_bytes)

    def _elements(self, number: int) -> Iterator[int]:
        vector = self.vector(number, 4)
        if vector.count > MAX_TABLES:
            raise FlatbufferError(f"it lists {vector.count} elements where at most {MAX_TABLES} can be meant")
        self._budget.spend(vector.nbytes)
        for index in range(vector.count):
            yield self._follow(vector.start + 4 * index)

    def _text(self, at: int) -> str:
        vector = self._vector(at, 1)
        if vector.count > MAX_STRING_BYTES:
            raise FlatbufferError(f"it holds a name of {vector.count} bytes")
        self._budget.text -= vector.count + 64  # what an empty Python string takes counts too
        if self._budget.text < 0:
            raise FlatbufferError(f"it holds more than {MAX_TEXT_BYTES} bytes of names")
        return self.bytes_of(vector, vector.count).decode("utf-8", "replace")


def _number(code: str, data: Bytes, at: int) -> int:
    _require(data, at, struct.calcsize(code))
    return int(struct.unpack_from(code, data, at)[0])


def _uint32(data: Bytes, at: int) -> int:
    return _number("<I", data, at)


def _uint16(data: Bytes, at: int) -> int:
    return _number("<H", data, at)


def _require(data: Bytes, at: int, size: int) -> None:
    if at < 0 or at + size > len(data):
        raise FlatbufferError(f"something of {size} bytes at byte {at} is missing from its {len(data)} bytes")
