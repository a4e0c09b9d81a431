"""Two clocks on one timeline: offsets, rates, and an error that is never too small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.clocks import AlignedClock, ClockCompared, compared, quickest

SECOND = 10**9


def test_the_middle_of_a_round_trip_is_wrong_by_half_of_it_at_most() -> None:
    assert compared(100, 5000, 301) == ClockCompared(201, 5000, 101)
    with pytest.raises(ValueError, match="before it began"):
        compared(5, 1, 4)


def test_the_quickest_counts_and_of_equals_the_last() -> None:
    found = [ClockCompared(1, 10, 5), ClockCompared(2, 20, 3), ClockCompared(3, 30, 3)]
    assert quickest(found) == ClockCompared(3, 30, 3, 3)


def test_without_a_comparison_the_devices_own_clock_must_do() -> None:
    clock = AlignedClock((), device_offset_ns=1000)
    assert (clock.is_aligned, clock.host_ns(5), clock.error_ns(0, 9)) == (False, 1005, None)
    assert clock.of_device_wall(1005) == 1005


def test_one_comparison_tells_the_offset_and_its_error_grows_with_the_distance() -> None:
    clock = AlignedClock([ClockCompared(0, 7 * SECOND, 1000)], device_offset_ns=0)
    assert clock.host_ns(5) == 7 * SECOND + 5
    assert clock.error_ns(0, 0) == 1000
    assert clock.error_ns(0, 10 * SECOND) == 1000 + 1_000_000  # 100 ppm


def test_two_comparisons_tell_the_rate() -> None:
    drift = 40_000  # ns per second: 40 ppm
    clock = AlignedClock([ClockCompared(0, 0, 500), ClockCompared(100 * SECOND, 100 * SECOND + 100 * drift, 500)])
    assert clock.host_ns(50 * SECOND) == 50 * SECOND + 50 * drift
    error = clock.error_ns(0, 100 * SECOND)
    assert error is not None
    assert error <= 500 + 15 * 50_000  # 15 ppm over half of the distance


def test_a_clock_that_was_set_is_no_rate_but_a_large_error() -> None:
    clock = AlignedClock([ClockCompared(0, 0, 500), ClockCompared(10 * SECOND, 70 * SECOND, 400)])
    error = clock.error_ns(0, 10 * SECOND)
    assert error is not None
    assert error >= 60 * SECOND


@given(
    offset=st.integers(-(10**18), 10**18),
    ppm=st.floats(-50, 50),
    points=st.lists(
        st.tuples(st.integers(0, 600 * SECOND), st.integers(0, 10**6), st.floats(-1, 1)), min_size=1, max_size=8
    ),
    at=st.integers(0, 600 * SECOND),
)
def test_a_time_is_never_further_off_than_the_error_says(
    offset: int, ppm: float, points: list[tuple[int, int, float]], at: int
) -> None:
    """Whatever a pair of clocks with constant rates is, and however unevenly the ways there and back delay."""

    def true(device_ns: int) -> int:
        return offset + device_ns + round(device_ns * ppm / 1e6)

    clock = AlignedClock(ClockCompared(time, true(time) + int(error * part), error) for time, error, part in points)
    error = clock.error_ns(0, 600 * SECOND)
    assert error is not None
    assert abs(clock.host_ns(at) - true(at)) <= error + 2
