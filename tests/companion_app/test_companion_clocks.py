"""One clock for a trace: a device compares its own with that of its computer, however far apart the two are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion.link.clock import LinkClock
from edgeloop_shared.clocks import ClockCompared, ClockProbe, ClockReading
from edgeloop_shared.spans import TraceStarted

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer

HOUR = 3600 * 10**9
TRACED = """
import edgeloop_task
with edgeloop_task.span("work"):
    pass
"""


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


@pytest.mark.parametrize("ahead", [0, 3 * HOUR, -7 * HOUR])
async def test_a_traced_run_tells_how_far_its_computers_clock_is(peer: LinkPeer, ahead: int) -> None:
    peer.behaviour.clock_ahead_ns = ahead
    run = await peer.run({"task.py": TRACED}, trace=True)
    points = [event for event in run.events() if isinstance(event, ClockCompared)]
    assert any(isinstance(event, TraceStarted) for event in run.events())
    assert points
    assert points[0].round_trips == 8
    offset = time.time_ns() - time.perf_counter_ns()
    slack = 10_000_000  # the system's wall clock may be slewed meanwhile
    for point in points:
        assert abs(point.host_ns - ahead - point.device_ns - offset) <= point.error_ns + slack


async def test_a_computer_that_does_not_tell_its_time_holds_up_no_run(peer: LinkPeer) -> None:
    peer.behaviour.clock_ahead_ns = None
    run = await peer.run({"task.py": TRACED}, trace=True)
    assert run.finished is not None
    assert not [event for event in run.events() if isinstance(event, ClockCompared)]


async def test_a_run_that_is_not_traced_compares_nothing(peer: LinkPeer) -> None:
    run = await peer.run({"task.py": TRACED})
    assert not [event for event in run.events() if isinstance(event, ClockCompared | TraceStarted)]


class Wire:
    """A link whose delays and whose two clocks a test sets: times pass when something is sent."""

    def __init__(self, delays: list[tuple[int, int]], host_offset: int) -> None:
        self.now = 10**12
        self._delays = delays
        self._host_offset = host_offset
        self.clock = LinkClock(self.send, lambda: self.now)

    def send(self, probe: ClockProbe) -> None:
        there, back = self._delays.pop(0)
        self.now += there
        reading = ClockReading(probe.sent_ns, self.now + self._host_offset)
        self.now += back
        self.clock.take(reading)


async def test_of_several_round_trips_the_quickest_counts() -> None:
    wire = Wire([(9_000_000, 1_000_000), (300_000, 100_000), (2_000_000, 8_000_000)], host_offset=5 * HOUR)
    found = await wire.clock.compare(3)
    assert found is not None
    assert (found.error_ns, found.round_trips) == (200_000, 3)
    wrong = abs(found.host_ns - found.device_ns - 5 * HOUR)
    assert wrong == 100_000  # the way there took longer; within the error that is told


async def test_an_answer_that_nobody_asked_for_is_forgotten() -> None:
    wire = Wire([(10, 10)], host_offset=0)
    wire.clock.take(ClockReading(17, 5))
    found = await wire.clock.compare(1)
    assert found is not None
    assert found.error_ns == 10
