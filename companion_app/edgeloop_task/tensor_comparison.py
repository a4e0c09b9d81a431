"""How far a tensor is from its reference."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError


class TensorComparison:
    """The difference of `array` from `reference`, two arrays of one shape; computed in float64, each figure on first use.

    Two values agree without further ado where both are NaN or both are the same infinity; such pairs are left out. Where only
    one of the two is finite, or they are different in kind (`mismatches` counts these), there is no measure of the distance:
    every figure then takes its worst value (cosine 0, SNR minus infinity, errors plus infinity), so that a bound notices it.
    Raises `InvalidInputError` for different shapes.
    """

    def __init__(self, array: NDArray[Any], reference: NDArray[Any]) -> None:
        if array.shape != reference.shape:
            raise InvalidInputError(
                f"Arrays of the shapes {list(array.shape)} and {list(reference.shape)} cannot be compared.",
                hint="Record the reference with inputs of the same shapes.",
            )
        a, b = array.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
        finite = np.isfinite(a) & np.isfinite(b)
        if finite.all():
            self._values, self._reference = a, b
            self.mismatches = 0
        else:
            rest_a, rest_b = a[~finite], b[~finite]
            agree = (rest_a == rest_b) | (np.isnan(rest_a) & np.isnan(rest_b))
            self._values, self._reference = a[finite], b[finite]
            self.mismatches = int(agree.size - np.count_nonzero(agree))

    @cached_property
    def cosine(self) -> float:
        """a·b / (|a| |b|), from -1 to 1. Two tensors of zeros are alike (1); one of zeros is like no other (0)."""
        if self.mismatches:
            return 0.0
        a, b = _normalised(self._values), _normalised(self._reference)
        lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
        if lengths:
            return max(-1.0, min(1.0, float(a @ b) / lengths))
        return 0.0 if a.any() or b.any() else 1.0

    @cached_property
    def snr_db(self) -> float:
        """10 log10(Σ reference² / Σ (array - reference)²): the signal over the noise. Infinite where nothing differs."""
        if self.mismatches:
            return -math.inf
        if not self.rmse:
            return math.inf
        ratio = self._rms(self._reference) / self.rmse
        return 20 * math.log10(ratio) if ratio else -math.inf

    @cached_property
    def max_abs_difference(self) -> float:
        """max |array - reference|; 0 for empty tensors."""
        if self.mismatches:
            return math.inf
        with np.errstate(over="ignore"):
            return float(np.abs(self._values - self._reference).max(initial=0.0))

    @cached_property
    def max_relative_error(self) -> float:
        """max |array - reference| / max |reference|: relative to the tensor's scale, so that values near zero do not blow it up.

        Infinite where the reference is all zeros and the array is not.
        """
        scale = float(np.abs(self._reference).max(initial=0.0))
        if not self.max_abs_difference:
            return 0.0
        return self.max_abs_difference / scale if scale else math.inf

    @cached_property
    def rmse(self) -> float:
        """√(mean (array - reference)²); 0 for empty tensors."""
        if self.mismatches:
            return math.inf
        with np.errstate(over="ignore"):
            return self._rms(self._values - self._reference)

    @staticmethod
    def _rms(values: NDArray[np.float64]) -> float:
        scale = float(np.abs(values).max(initial=0.0))
        if not scale or math.isinf(scale):
            return scale
        scaled = values / scale
        return math.sqrt(float(scaled @ scaled) / values.size) * scale


def _normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` over the largest of them: squares of what is left neither overflow nor vanish."""
    scale = float(np.abs(values).max(initial=0.0))
    return values / scale if scale else values
