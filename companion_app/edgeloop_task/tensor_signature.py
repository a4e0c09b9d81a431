"""Signatures: some kilobytes that stand for a tensor of any size, so that two devices can tell how far their tensors are apart.

The heart of one is a linear sketch: every value is given a pseudo-random sign, and the values of each slice along the second
axis (the channels of an image) are added up in a few buckets. The sketch of a difference is the difference of the sketches, and
the sum of its squares estimates the sum of the squared differences without bias (Alon, Matias and Szegedy, "The space complexity of
approximating the frequency moments", 1996; Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", 2002).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.models import NAME_PATTERN

MAX_ROWS = 1024
BUCKETS = 256  # in all, where there are few rows
ROW_BUCKETS = 4  # of a row, where there are many
MAX_RANK = 32
_TILE = 1 << 20  # numbers that are given signs at a time
_SAFE = (1e-12, 1e12)  # magnitudes whose squares float32 can add up
_COUNT = {"ge": 0, "lt": 2**63}


@dataclass(frozen=True)
class TensorFigures:
    """What is told of a tensor in words and numbers; `min`, `max`, `mean` and `rms` are over finite values (None: there are none).

    `rows` and `buckets` are the size of its sketch, both 0 for a tensor whose numbers MNN does not hand out.
    """

    shape: tuple[int, ...] = field(metadata={"max_length": MAX_RANK})
    dtype: str = field(metadata={"min_length": 1, "max_length": 32, "pattern": NAME_PATTERN})
    nan_count: int = field(default=0, metadata=_COUNT)
    inf_count: int = field(default=0, metadata=_COUNT)
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    rms: float | None = None
    rows: int = field(default=0, metadata={"ge": 0, "le": MAX_ROWS})
    buckets: int = field(default=0, metadata={"ge": 0, "le": BUCKETS})

    def __post_init__(self) -> None:
        if any(size < 0 for size in self.shape) or self.count >= 2**62:
            raise InvalidInputError("A tensor has an impossible shape.")
        if self.rows and (self.rows, self.buckets) != _layout(self.shape):
            raise InvalidInputError("A tensor's sketch does not fit its shape.")
        if self.nan_count + self.inf_count > self.count:
            raise InvalidInputError("A tensor has more values that are not finite than values.")

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def not_finite(self) -> int:
        """How many values are NaN or infinite."""
        return self.nan_count + self.inf_count


@dataclass(frozen=True)
class TensorSignature:
    """A tensor's figures and its sketch, float32 `[rows, buckets]`, in which values that are not finite count as zeros."""

    figures: TensorFigures
    sketch: NDArray[np.float32]


@dataclass(frozen=True)
class SignatureDifference:
    """How far a tensor is from its reference, estimated from their signatures.

    `error` is |a - b| / |b|, infinite where only one of the two is zero or finite; `row_errors`, float64 `[rows]`, are the parts of
    |a - b| / |b| that the slices along the second axis have.
    """

    error: float
    row_errors: NDArray[np.float64]

    @property
    def snr_db(self) -> float:
        """The reference over the difference, in dB."""
        return snr_db(self.error)


def snr_db(error: float) -> float:
    """Return a relative error |a - b| / |b| as a signal-to-noise ratio in dB."""
    if math.isinf(error):
        return -math.inf
    return -20 * math.log10(error) if error else math.inf


def signature_of(array: NDArray[Any]) -> TensorSignature:
    """Return the signature of an array of booleans, integers or floats."""
    flat = np.ascontiguousarray(array).reshape(-1)
    values = flat if flat.dtype == np.float32 else flat.astype(np.float32)
    rows, buckets = _layout(array.shape)
    nan_count = inf_count = 0
    finite = flat if flat.dtype.kind != "f" else values
    if values.size and not math.isfinite(float(np.add.reduce(values, dtype=np.float64))):
        is_finite = np.isfinite(values)
        nan_count = int(np.count_nonzero(np.isnan(values)))
        inf_count = int(values.size - np.count_nonzero(is_finite)) - nan_count
        finite, values = values[is_finite], np.where(is_finite, values, np.float32(0))
    figures = TensorFigures(
        shape=tuple(array.shape),
        dtype=array.dtype.name,
        nan_count=nan_count,
        inf_count=inf_count,
        min=float(finite.min()) if finite.size else None,
        max=float(finite.max()) if finite.size else None,
        mean=float(finite.mean(dtype=np.float64)) if finite.size else None,
        rms=_rms(finite),
        rows=rows,
        buckets=buckets,
    )
    return TensorSignature(figures, _sketch(values, array.shape, rows, buckets))


def unreadable(shape: tuple[int, ...]) -> TensorSignature:
    """Return the signature of a tensor whose numbers cannot be had."""
    return TensorSignature(TensorFigures(shape, "unknown"), np.zeros((0, 0), np.float32))


def difference(one: TensorSignature, reference: TensorSignature) -> SignatureDifference | None:
    """Estimate how far a tensor is from its reference; None where they cannot be compared: other shapes, or no numbers."""
    a, b = one.figures, reference.figures
    if a.shape != b.shape or not a.rows or not b.rows:
        return None
    squares = np.square(one.sketch.astype(np.float64) - reference.sketch.astype(np.float64)).sum(axis=1)
    if (a.nan_count, a.inf_count) != (b.nan_count, b.inf_count):
        return SignatureDifference(math.inf, np.sqrt(squares))
    scale = (b.rms or 0.0) * math.sqrt(max(b.count - b.not_finite, 1))
    distance = math.sqrt(float(squares.sum()))
    if not scale:
        return SignatureDifference(math.inf if distance else 0.0, np.sqrt(squares))
    return SignatureDifference(distance / scale, np.sqrt(squares) / scale)


def _layout(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows of a tensor's sketch and the buckets of each."""
    count = math.prod(shape)
    if not count:
        return 0, 0
    slices = shape[1] if len(shape) > 1 else 1
    rows = -(-slices // _together(slices))
    inner = math.prod(shape[2:])
    return rows, min(max(-(-BUCKETS // rows), ROW_BUCKETS), inner if len(shape) > 1 else count)


def _together(slices: int) -> int:
    """Return how many slices share a row of the sketch."""
    return -(-slices // MAX_ROWS)


def row_slices(shape: tuple[int, ...], row: int) -> slice:
    """Return which slices along the second axis a row of the sketch stands for."""
    slices = shape[1] if len(shape) > 1 else 1
    together = _together(slices)
    return slice(row * together, min((row + 1) * together, slices))


def _sketch(values: NDArray[np.float32], shape: tuple[int, ...], rows: int, buckets: int) -> NDArray[np.float32]:
    if not rows:
        return np.zeros((0, 0), np.float32)
    slices = shape[1] if len(shape) > 1 else 1
    batches = shape[0] if len(shape) > 1 else 1
    signed = _signed(values).reshape(batches, slices, -1)
    wide = np.float64 if float(np.abs(values).max()) > _SAFE[1] else None  # where float32 might not hold the sums
    whole = signed.shape[2] - signed.shape[2] % buckets
    pieces = signed[:, :, :whole].reshape(batches, slices, buckets, -1)
    sums = np.add.reduce(np.add.reduce(pieces, axis=3, dtype=wide), axis=0, dtype=np.float64)
    rest = np.add.reduce(np.add.reduce(signed[:, :, whole:], axis=2, dtype=wide), axis=0, dtype=np.float64)
    sums[:, -1] += rest  # goes with the last piece
    result = np.add.reduceat(sums, np.arange(0, slices, _together(slices)), axis=0)
    limit = float(np.finfo(np.float32).max)
    return result.clip(-limit, limit).astype(np.float32)


def _signed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    tile = _signs()
    signed = np.empty_like(values)
    for number, start in enumerate(range(0, values.size, _TILE)):
        piece = values[start : start + _TILE]
        np.multiply(piece, tile[: piece.size], out=signed[start : start + piece.size])
        if _mix(np.array([number + _TILE], np.uint64))[0] >> np.uint64(63):
            np.negative(signed[start : start + piece.size], out=signed[start : start + piece.size])
    return signed


@functools.cache
def _signs() -> NDArray[np.float32]:
    bits = _mix(np.arange(_TILE, dtype=np.uint64)) >> np.uint64(63)
    return np.where(bits, np.float32(-1), np.float32(1))


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return pseudo-random numbers that are the same everywhere: SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        z = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _rms(finite: NDArray[Any]) -> float | None:
    if not finite.size:
        return None
    scale = max(abs(float(finite.min())), abs(float(finite.max())))
    if not scale:
        return 0.0
    total = 0.0
    for start in range(0, finite.size, _TILE):
        piece = finite[start : start + _TILE].astype(np.float32)
        if not _SAFE[0] < scale < _SAFE[1]:
            piece = (piece / np.float32(scale)).astype(np.float32)
        total += float(np.dot(piece, piece))
    return math.sqrt(total / finite.size) * (1.0 if _SAFE[0] < scale < _SAFE[1] else scale)
