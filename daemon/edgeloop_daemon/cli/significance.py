"""Whether a measured difference is more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05


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
    """Compare two models' median latencies in ms over interleaved rounds: noise where the rounds' ranges overlap."""
    if not rounds_ms or not reference_ms:
        raise ValueError("a comparison needs a round of each model")
    overlap = min(rounds_ms) <= max(reference_ms) and min(reference_ms) <= max(rounds_ms)
    reason = f"rounds {min(rounds_ms):.3f}..{max(rounds_ms):.3f} ms against {min(reference_ms):.3f}..{max(reference_ms):.3f} ms"
    middle = sorted(rounds_ms)[len(rounds_ms) // 2] - sorted(reference_ms)[len(reference_ms) // 2]
    return Difference(middle, overlap, reason)
