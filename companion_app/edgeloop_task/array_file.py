"""Arrays in one file with a description: how a divergence search brings signatures and tensors back from a device.

Layout, little-endian: the bytes `edgeloop-arrays-1\\n`, u32 length of the description, the description (JSON), the numbers. What
is read is a device's word: a file is refused unless its length is exactly that of the arrays that it announces.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import InvalidInputError, MessageError, TooLargeError

T = TypeVar("T")
MAGIC = b"edgeloop-arrays-1\n"
MAX_FILE_BYTES = 256 * 1024**2
MAX_DESCRIPTION_BYTES = 32 * 1024**2
_MAX_SIZE = 2**31  # of an axis
_LENGTH = struct.Struct("<I")
_DTYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class ArrayPlace:
    """An array of the file: its shape, numpy's name of its dtype, and where its bytes begin behind the description."""

    shape: tuple[int, ...] = field(metadata={"max_length": 32})
    dtype: str = field(metadata={"max_length": 16})
    begin: int = field(metadata={"ge": 0, "le": MAX_FILE_BYTES})

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES or any(not 0 <= size < _MAX_SIZE for size in self.shape):
            raise InvalidInputError("An array has an impossible shape or dtype.")

    @property
    def nbytes(self) -> int:
        """How many bytes its numbers take."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class ArrayWriter:
    """Collects arrays; what holds the same bytes as an earlier one is stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._end = 0

    def add(self, array: NDArray[Any]) -> ArrayPlace:
        """Add an array and return its place. Raises `TooLargeError` beyond `MAX_FILE_BYTES` in all."""
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        begin = self._known.setdefault(data, self._end)
        if begin == self._end:
            self._parts.append(data)
            self._end += len(data)
        if self._end > MAX_FILE_BYTES:
            raise TooLargeError(
                "The arrays take too many bytes.", hint="Ask for fewer.", details={"limit": MAX_FILE_BYTES}
            )
        return ArrayPlace(tuple(array.shape), array.dtype.name, begin)

    def file(self, description: object) -> bytes:
        """Return the file with a description, a dataclass that holds the places."""
        text = encode_json(description)
        return b"".join((MAGIC, _LENGTH.pack(len(text)), text, *self._parts))


class ArrayFile:
    """The numbers of a file that was read."""

    def __init__(self, numbers: memoryview) -> None:
        self._numbers = numbers

    def array(self, place: ArrayPlace) -> NDArray[Any]:
        """Return the array at a place. Raises `MessageError` where the file holds none."""
        if place.begin + place.nbytes > len(self._numbers):
            raise MessageError(f"An array of {place.nbytes} bytes is cut off.")
        if not place.nbytes:
            return np.zeros(tuple(min(size, 1) for size in place.shape), place.dtype)
        part = self._numbers[place.begin : place.begin + place.nbytes]
        found: NDArray[Any] = np.frombuffer(part, np.dtype(place.dtype).newbyteorder("<")).reshape(place.shape)
        return found

    def __len__(self) -> int:
        return len(self._numbers)


def read_array_file(kind: type[T], data: bytes) -> tuple[T, ArrayFile]:
    """Return the description of a file, a `kind`, and its numbers. Raises `MessageError` for anything that is no such file."""
    start = len(MAGIC) + _LENGTH.size
    if len(data) > MAX_FILE_BYTES + MAX_DESCRIPTION_BYTES or data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise MessageError("A file of arrays does not begin as one, or is too large.")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    if length > min(MAX_DESCRIPTION_BYTES, len(data) - start):
        raise MessageError("The description in a file of arrays is cut off.")
    view = memoryview(data)
    description = decode_json(kind, bytes(view[start : start + length]), max_bytes=MAX_DESCRIPTION_BYTES)
    return description, ArrayFile(view[start + length :])


@dataclass(frozen=True)
class _Named:
    arrays: Mapping[str, ArrayPlace] = field(metadata={"max_length": 10_000})


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file of arrays by name."""
    writer = ArrayWriter()
    return writer.file(_Named({name: writer.add(array) for name, array in arrays.items()}))


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays that `pack_arrays` packed. Raises `MessageError` for anything else."""
    named, numbers = read_array_file(_Named, data)
    return {name: numbers.array(place) for name, place in named.arrays.items()}
