"""Statistics of one tensor. Each is computed when it is asked for first, so that a condition pays for what it names."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import ModelError
from edgeloop_shared.operator_hits import FIRST_VALUES, NotFinite, TensorSummary

_CHUNK = 1 << 20  # numbers that are turned into float64 at a time
_PIECE = 1 << 17  # numbers that are looked at twice in a row
_HUGE = 1e150  # beyond it a square leaves float64


class TensorStatistics:
    """Statistics of an array of booleans, integers or floats of any shape.

    `min`, `max`, `mean`, `std`, `abs_max` and `p99_abs` are over the finite values alone, computed in float64, and NaN where
    there is no finite value (an empty array, or one of NaN only). `nan_count` and `inf_count` tell how many were left out.
    The array must not change until everything that is wanted has been read.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._held: NDArray[Any] | None = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: str = array.dtype.name
        self.count: int = array.size

    def forget_array(self) -> None:
        """Let the array go: what has been read stays, the rest raises `ModelError`."""
        self._held = None

    @cached_property
    def nan_count(self) -> int:
        """How many values are NaN."""
        return 0 if self._is_finite else int(np.count_nonzero(np.isnan(self._array)))

    @cached_property
    def inf_count(self) -> int:
        """How many values are infinite."""
        return 0 if self._is_finite else int(np.count_nonzero(np.isinf(self._array)))

    @cached_property
    def min(self) -> float:
        """The smallest finite value."""
        if self._is_finite:
            return self._bounds[0] if self.count else math.nan
        return float(self._finite.min()) if self._finite.size else math.nan

    @cached_property
    def max(self) -> float:
        """The largest finite value."""
        if self._is_finite:
            return self._bounds[1] if self.count else math.nan
        return float(self._finite.max()) if self._finite.size else math.nan

    @cached_property
    def abs_max(self) -> float:
        """The largest distance of a finite value from zero."""
        return max(abs(self.min), abs(self.max))

    @cached_property
    def mean(self) -> float:
        """The arithmetic mean of the finite values."""
        values, scale = self._finite, self._scale
        if not values.size:
            return math.nan
        return float(values.mean(dtype=np.float64)) if scale == 1 else float((values / scale).mean()) * scale

    @cached_property
    def std(self) -> float:
        """The standard deviation of the finite values: of all of them, not an estimate (numpy's `ddof=0`)."""
        values, scale = self._finite, self._scale
        if not values.size:
            return math.nan
        mean, total = self.mean / scale, 0.0
        for start in range(0, values.size, _CHUNK):
            distances = values[start : start + _CHUNK].astype(np.float64) / scale - mean
            total += float(distances @ distances)
        return math.sqrt(total / values.size) * scale

    @cached_property
    def p99_abs(self) -> float:
        """The 99th percentile of the finite values' distances from zero, linear between the two nearest."""
        values = self._finite
        if not values.size:
            return math.nan
        magnitudes = np.abs(
            values if values.dtype.kind == "f" else values.astype(np.float64)
        )  # -128 has no int8 opposite
        return float(np.percentile(magnitudes, 99))

    @cached_property
    def first(self) -> tuple[float | NotFinite, ...]:
        """The first values in the tensor's order of axes; `"nan"`, `"inf"` and `"-inf"` stand for themselves."""
        return tuple(told(float(value)) for value in self._array.flat[:FIRST_VALUES])

    def summary(self) -> TensorSummary:
        """Return all of them, as they travel in a report: None stands for NaN."""
        return TensorSummary(
            shape=self.shape,
            dtype=self.dtype,
            count=self.count,
            nan_count=self.nan_count,
            inf_count=self.inf_count,
            min=_defined(self.min),
            max=_defined(self.max),
            mean=_defined(self.mean),
            std=_defined(self.std),
            abs_max=_defined(self.abs_max),
            p99_abs=_defined(self.p99_abs),
            first=self.first,
        )

    @property
    def _array(self) -> NDArray[Any]:
        if self._held is None:
            raise ModelError(
                "The run has gone on, and the tensor is no longer there.",
                hint="Read its statistics in the breakpoint's action, or take a copy of its array there.",
            )
        return self._held

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        """The smallest and the largest value of all: NaN where there is one, and 0 where there is none."""
        values = self._array.reshape(-1)
        if not values.size:
            return 0.0, 0.0
        lows, highs = [], []
        with np.errstate(invalid="ignore"):
            for start in range(0, values.size, _PIECE):
                piece = values[start : start + _PIECE]  # which the second pass still finds in the processor's cache
                lows.append(piece.min())
                highs.append(piece.max())
            return float(np.min(lows)), float(np.max(highs))

    @cached_property
    def _is_finite(self) -> bool:
        return math.isfinite(self._bounds[0]) and math.isfinite(self._bounds[1])

    @cached_property
    def _finite(self) -> NDArray[Any]:
        """The finite values on one axis."""
        return self._array.ravel() if self._is_finite else self._array[np.isfinite(self._array)]

    @cached_property
    def _scale(self) -> float:
        return self.abs_max if self.abs_max > _HUGE else 1.0


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def told(value: float) -> float | NotFinite:
    """Return a value as it travels in JSON."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
