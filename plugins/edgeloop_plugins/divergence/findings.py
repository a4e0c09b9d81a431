"""What the pairs of two runs say: where the first difference begins, and whether an operator is to blame or their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeloop_plugins.divergence.matching import Pair
from edgeloop_plugins.divergence.results import FindingKind

JUMP = 4.0  # times larger than the error of its inputs is the error of an operator that is wrong by itself
CLEAR = 20.0  # times: then nothing needs to be tried out
FLOOR = 1e-7  # of a relative error: float32's own


@dataclass(frozen=True)
class Finding:
    """What was found first; `pair` is the operator, and for a drift the first one out of bounds."""

    kind: FindingKind
    pair: Pair | None = None
    is_on_both_sides: bool = False
    contributors: tuple[Pair, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the operator's inputs agree so well that it alone can be wrong."""
        pair = self.pair
        if pair is None or pair.error_out is None or pair.error_in is None:
            return self.kind != "drift"
        return pair.error_out > CLEAR * max(pair.error_in, FLOOR)


def first_finding(pairs: Sequence[Pair], bound: float) -> Finding:
    """Return what stands first: a NaN, an operator that is wrong, or a drift beyond `bound`, a relative error.

    The most telling one counts: a NaN that only one side has; else the first operator beyond the bound whose inputs were far
    better; else a NaN on both sides, which hides whatever follows; else a drift.
    """
    lone = next((pair for pair in pairs if _begins_not_finite(pair)), None)
    both = next((pair for pair in pairs if _begins_nan(pair)), None)
    beyond = [pair for pair in pairs if pair.error_out is not None and pair.error_out > bound]
    jumps = [pair for pair in beyond if gain(pair) >= JUMP and not _not_finite(pair)]
    first = min(
        (pair for pair in (lone, jumps[0] if jumps else None) if pair), key=lambda pair: pair.index, default=None
    )
    if both is not None and (first is None or both.index < first.index):
        return Finding("not-finite", both, is_on_both_sides=True)
    if first is not None:
        return Finding("not-finite" if first is lone else "operator", first)
    if beyond:
        before = [pair for pair in pairs if pair.index <= beyond[0].index and pair.error_out is not None]
        return Finding("drift", beyond[0], contributors=tuple(sorted(before, key=_added, reverse=True)[:3]))
    return Finding("none")


def gain(pair: Pair) -> float:
    """Return how much larger the error of the outputs is than that of the inputs."""
    if pair.error_out is None:
        return 0.0
    return pair.error_out / max(pair.error_in or 0.0, FLOOR)


def _added(pair: Pair) -> float:
    error = pair.error_out or 0.0
    return math.sqrt(max(error**2 - (pair.error_in or 0.0) ** 2, 0.0)) if math.isfinite(error) else math.inf


def _not_finite(pair: Pair, reference: bool = False) -> int:
    operator = pair.reference if reference else pair.operator
    return sum(one.figures.not_finite for one in operator.outputs)


def _begins_not_finite(pair: Pair) -> bool:
    """Return whether one side alone has NaN or infinity behind the operator, and neither has before it."""
    inputs = (*pair.operator.inputs, *pair.reference.inputs)
    return _not_finite(pair) != _not_finite(pair, True) and not any(one.figures.not_finite for one in inputs)


def _begins_nan(pair: Pair) -> bool:
    """Return whether both sides have NaN behind the operator and none before it; infinity on both may well be meant."""
    sides = (pair.operator, pair.reference)
    behind = [sum(one.figures.nan_count for one in side.outputs) for side in sides]
    return min(behind) > 0 and not any(one.figures.nan_count for side in sides for one in side.inputs)
