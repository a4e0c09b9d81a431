"""Latencies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Durations of single runs in nanoseconds, in the order in which they were measured."""

    samples_ns: tuple[int, ...]

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile in milliseconds, linear between the two nearest samples (numpy's default)."""
        ordered = sorted(self.samples_ns)
        position = (len(ordered) - 1) * percent / 100
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return (ordered[low] + (ordered[high] - ordered[low]) * (position - low)) / 1e6

    @property
    def p50_ms(self) -> float:
        """The median in milliseconds."""
        return self.percentile_ms(50)

    @property
    def p90_ms(self) -> float:
        """The 90th percentile in milliseconds."""
        return self.percentile_ms(90)

    @property
    def mean_ms(self) -> float:
        """The mean in milliseconds."""
        return sum(self.samples_ns) / len(self.samples_ns) / 1e6

    @property
    def min_ms(self) -> float:
        """The shortest run in milliseconds."""
        return min(self.samples_ns) / 1e6
