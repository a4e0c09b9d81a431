"""Whether two devices give the same answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Over all samples: how many have another first choice, the lowest cosine of the scores, and their largest difference."""

    samples: int
    other_classes: tuple[int, ...]
    lowest_cosine: float
    largest_difference: float

    @property
    def is_same(self) -> bool:
        """Whether every sample has the same first choice."""
        return self.samples > 0 and not self.other_classes


def compare(mine: Scores, theirs: Scores) -> Agreement:
    """Compare scores `[n, classes]` of the same samples. Raises `ValueError` for scores of other shapes or that are no numbers."""
    if mine.shape != theirs.shape or mine.ndim != 2:
        raise ValueError(f"scores of shape {mine.shape} cannot be compared with those of shape {theirs.shape}")
    if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        raise ValueError("some scores are no finite numbers")
    first, second = mine.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1) / lengths
    return Agreement(
        samples=len(first),
        other_classes=tuple(int(one) for one in np.flatnonzero(first.argmax(1) != second.argmax(1))),
        lowest_cosine=float(cosines.min(initial=1.0)),
        largest_difference=float(np.abs(first - second).max(initial=0.0)),
    )
