"""Whether a device slowed down while it was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edgeloop_shared.benchmarks import ProcessorReading, Throttling

MIN_ROUNDS = 3
SLOWER = 1.10
_FEW = 4096


def throttling(cells: Sequence[Sequence[float]], readings: Sequence[ProcessorReading]) -> Throttling:
    """Judge the medians of each cell's rounds in ms, in the order in which they were measured, and the processor's readings.

    The trend is the last third of the rounds over the first third, the median over all cells.
    """
    kept = tuple(readings[:_FEW])
    seen = _seen(kept)
    if not cells or len(cells[0]) < MIN_ROUNDS:
        return Throttling(
            "unknown", f"Throttling cannot be known from fewer than {MIN_ROUNDS} rounds; {seen}.", None, kept
        )
    third = max(1, len(cells[0]) // 3)
    trend = statistics.median(statistics.median(one[-third:]) / statistics.median(one[:third]) for one in cells)
    clocks = [reading.megahertz for reading in kept if reading.megahertz is not None]
    fell = bool(clocks) and clocks[-1] * SLOWER < max(clocks)
    change = f"the last rounds took {trend:.2f} times as long as the first"
    if trend >= SLOWER and fell:
        return Throttling("throttled", f"The device throttled: {change}; {seen}.", trend, kept)
    if trend >= SLOWER:
        reason = "its clock did not fall, so something else took the time" if clocks else "why cannot be known"
        return Throttling("slowed", f"The device became slower: {change}, {reason}; {seen}.", trend, kept)
    return Throttling("none", f"No throttling: {change}; {seen}.", trend, kept)


def _seen(readings: Sequence[ProcessorReading]) -> str:
    clocks = [reading.megahertz for reading in readings if reading.megahertz is not None]
    heat = [reading.celsius for reading in readings if reading.celsius is not None]
    clock = f"clock {clocks[0]:.0f} to {clocks[-1]:.0f} MHz" if clocks else "its clock cannot be read"
    warmth = f"{heat[0]:.0f} to {heat[-1]:.0f} °C" if heat else "its temperature cannot be read"
    return f"{clock}, {warmth}"
