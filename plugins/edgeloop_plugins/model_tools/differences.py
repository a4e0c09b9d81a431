"""How far a variant's outputs are from the reference's, summed up sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeloop_plugins.model_tools.results import OutputDifference

MIN_CLASSES = 2


@dataclass
class Difference:
    """The running difference of one output; values that are not finite on either side are counted and left out."""

    output: str
    _values: int = 0
    _max_abs: float = 0.0
    _sum_abs: float = 0.0
    _sum_square: float = 0.0
    _dot: float = 0.0
    _reference_square: float = 0.0
    _variant_square: float = 0.0
    _not_finite: int = 0
    _ranked: int = 0
    _same_top: int = 0
    _scores: bool = field(default=True)

    def add(self, reference: np.ndarray[Any, Any], variant: np.ndarray[Any, Any]) -> None:
        """Add one run's output; both have the same shape."""
        a, b = reference.astype(np.float64).ravel(), variant.astype(np.float64).ravel()
        finite = np.isfinite(a) & np.isfinite(b)
        self._not_finite += int(finite.size - finite.sum())
        self._rank(reference, variant)
        a, b = a[finite], b[finite]
        if not a.size:
            return
        distance = np.abs(a - b)
        self._values += a.size
        self._max_abs = max(self._max_abs, float(distance.max()))
        self._sum_abs += float(distance.sum())
        self._sum_square += float(distance @ distance)
        self._dot += float(a @ b)
        self._reference_square += float(a @ a)
        self._variant_square += float(b @ b)

    def summary(self) -> OutputDifference:
        """Return the difference over everything that was added."""
        lengths = math.sqrt(self._reference_square) * math.sqrt(self._variant_square)
        noise, signal = self._sum_square, self._reference_square
        return OutputDifference(
            output=self.output,
            max_abs=self._max_abs,
            mean_abs=self._sum_abs / self._values if self._values else 0.0,
            cosine=max(-1.0, min(1.0, self._dot / lengths)) if lengths else None,
            snr_db=10 * math.log10(signal / noise) if signal and noise else None,
            top1_agreement=self._same_top / self._ranked if self._scores and self._ranked else None,
            not_finite=self._not_finite,
        )

    def _rank(self, reference: np.ndarray[Any, Any], variant: np.ndarray[Any, Any]) -> None:
        """Scores are floats with one axis longer than 1 beside the batch: (batch, classes) or (batch, classes, 1, 1)."""
        long_axes = [size for size in reference.shape[1:] if size > 1]
        if reference.dtype.kind != "f" or len(long_axes) != 1 or long_axes[0] < MIN_CLASSES:
            self._scores = False
            return
        a, b = (array.reshape(len(array), -1).argmax(axis=1) for array in (reference, variant))
        self._ranked += len(a)
        self._same_top += int((a == b).sum())
