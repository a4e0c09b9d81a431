"""Two clocks on one timeline: a device's monotonic clock and its host's wall clock, compared by round trips.

A device asks (`ClockProbe`) and its host answers at once with its own time (`ClockReading`). The host read its clock at some
moment of the round trip, so the middle of it is wrong by half of it at most: of several the quickest counts, as in NTP's clock
filter (RFC 5905, section 10). Over a long run the comparison is repeated and a straight line laid through the points, because
two crystals differ in rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MAX_DRIFT = (
    100e-6  # by which the rates of two clocks differ at most while nothing better is known: two crystals of 50 ppm
)
WANDER = 15e-6  # by which a rate that was measured still changes: NTP's tolerance (RFC 5905, PHI)
_MAX_RATE = 500e-6  # beyond it one of the clocks was set, and no line fits
_MIN_RATE_SECONDS = 5.0  # between two points that tell a rate

_NANOSECONDS = {"ge": -(2**62), "lt": 2**62}


@dataclass(frozen=True)
class ClockProbe:
    """The device asks for the host's time; `sent_ns` is its own monotonic time, which the answer repeats."""

    sent_ns: int = field(metadata=_NANOSECONDS)


@dataclass(frozen=True)
class ClockReading:
    """The host's answer to a probe: nanoseconds since the UNIX epoch."""

    sent_ns: int = field(metadata=_NANOSECONDS)
    host_ns: int = field(metadata=_NANOSECONDS)


@dataclass(frozen=True)
class ClockCompared:
    """At the device's monotonic time `device_ns` the host's clock showed `host_ns`, give or take `error_ns`.

    `round_trips` says of how many this was the quickest one.
    """

    device_ns: int = field(metadata=_NANOSECONDS)
    host_ns: int = field(metadata=_NANOSECONDS)
    error_ns: int = field(metadata={"ge": 0, "lt": 2**62})
    round_trips: int = field(default=1, metadata={"ge": 1, "le": 1000})


def compared(sent_ns: int, host_ns: int, received_ns: int) -> ClockCompared:
    """Return what one round trip tells, from the device's times before and after it. Raises `ValueError` if it ends too early."""
    if received_ns < sent_ns:
        raise ValueError("the round trip ended before it began")
    half = (received_ns - sent_ns + 1) // 2
    return ClockCompared(sent_ns + half, host_ns, half)


def quickest(found: Sequence[ClockCompared]) -> ClockCompared:
    """Return the comparison with the smallest error; of later ones less can have drifted, so the last of equals counts."""
    best = min(reversed(found), key=lambda one: one.error_ns)
    return ClockCompared(best.device_ns, best.host_ns, best.error_ns, min(1000, len(found)))


class AlignedClock:
    """Turns a device's monotonic times into the host's, by a line through all comparisons.

    Without any, the device's own wall clock must do (`device_offset_ns`, which added to its monotonic time gives it), and nobody
    knows how wrong that is.
    """

    def __init__(self, points: Iterable[ClockCompared] = (), device_offset_ns: int = 0) -> None:
        self._points = sorted(points, key=lambda point: point.device_ns)
        self._device_offset_ns = device_offset_ns
        self._rate, self._begin, self._offset = _line(self._points, device_offset_ns)

    @property
    def is_aligned(self) -> bool:
        """Whether the two clocks were compared."""
        return bool(self._points)

    @property
    def round_trips(self) -> int:
        """How many round trips there were."""
        return sum(point.round_trips for point in self._points)

    def host_ns(self, device_ns: int) -> int:
        """Return nanoseconds since the UNIX epoch."""
        return device_ns + self._offset + round((device_ns - self._begin) * self._rate)

    def of_device_wall(self, wall_ns: int) -> int:
        """Return the host's time at a time of the device's own wall clock."""
        return self.host_ns(wall_ns - self._device_offset_ns)

    def error_ns(self, begin_ns: int, end_ns: int) -> int | None:
        """Return by how much a time from `begin_ns` to `end_ns` (of the device) is wrong at most; None if nobody knows."""
        if not self._points:
            return None
        at_points = max(abs(self.host_ns(one.device_ns) - one.host_ns) + one.error_ns for one in self._points)
        times = [one.device_ns for one in self._points]
        inner = [after - before for before, after in pairwise(times)]
        outside = max(0, times[0] - begin_ns, end_ns - times[-1])
        if not self._rate:
            return at_points + round(MAX_DRIFT * max(outside, *inner, 0))
        unsure = (self._points[0].error_ns + self._points[-1].error_ns) / (times[-1] - times[0])  # of the rate
        return at_points + round(max((WANDER + unsure) * outside, WANDER * max(inner) / 2))


def _line(points: Sequence[ClockCompared], device_offset_ns: int) -> tuple[float, int, int]:
    """Return the rate of the host's clock over the device's less one, and a device's time with the offset there."""
    if not points:
        return 0.0, 0, device_offset_ns
    first, last = points[0], points[-1]
    best = min(points, key=lambda one: one.error_ns)
    span = last.device_ns - first.device_ns
    if span < _MIN_RATE_SECONDS * 1e9:
        return 0.0, best.device_ns, best.host_ns - best.device_ns
    rate = (last.host_ns - first.host_ns - span) / span
    if abs(rate) > _MAX_RATE:
        return 0.0, best.device_ns, best.host_ns - best.device_ns
    return rate, first.device_ns, first.host_ns - first.device_ns
