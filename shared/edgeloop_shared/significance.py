"""Whether a measured difference is more than noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05
REPEATABLE = 0.03  # a part of the median: what a process's memory layout alone changes from start to start


@dataclass(frozen=True)
class Difference:
    """A difference to the reference, and whether it is too small to tell from noise."""

    value: float
    is_noise: bool
    reason: str


def accuracy_difference(correct: Sequence[bool], reference: Sequence[bool]) -> Difference:
    """Compare two models' right and wrong answers on the same samples by McNemar's exact test (two-sided, 5 %).

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947; the
    exact form is the binomial test on the samples on which just one of the two is right.
    """
    if len(correct) != len(reference) or not correct:
        raise ValueError("both models must have answered the same samples")
    gained = sum(now and not before for now, before in zip(correct, reference, strict=True))
    lost = sum(before and not now for now, before in zip(correct, reference, strict=True))
    changed = gained + lost
    probability = min(1.0, 2 * sum(math.comb(changed, k) for k in range(min(gained, lost) + 1)) / 2**changed)
    reason = f"{gained} gained, {lost} lost of {len(correct)}; McNemar p = {probability:.2g}"
    return Difference((gained - lost) / len(correct), changed > 0 and probability >= LEVEL, reason)


def latency_difference(rounds_ms: Sequence[float], reference_ms: Sequence[float]) -> Difference:
    """Compare two models' median latencies in ms over interleaved rounds.

    It is noise where the rounds' ranges overlap, or where the medians differ by less than 3 %.
    """
    if not rounds_ms or not reference_ms:
        raise ValueError("a comparison needs a round of each model")
    overlap = min(rounds_ms) <= max(reference_ms) and min(reference_ms) <= max(rounds_ms)
    reason = f"rounds {min(rounds_ms):.3f}..{max(rounds_ms):.3f} ms against {min(reference_ms):.3f}..{max(reference_ms):.3f} ms"
    reference = statistics.median(reference_ms)
    difference = statistics.median(rounds_ms) - reference
    return Difference(difference, overlap or abs(difference) < REPEATABLE * reference, reason)
