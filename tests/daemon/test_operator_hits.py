"""The hits that a device reports: numbered, listed in pages, told of at a bounded rate, and never trusted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Link, link

from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.events.event_log import Choice, Event, open_event_log
from edgeloop_shared.codec import printable
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_hits import OperatorHitReported, TensorSummary
from edgeloop_shared.operator_stops import OperatorResumed, OperatorStopped
from edgeloop_shared.run_events import TaskFinished, TaskStarted

HITS = Choice(("run.operator-hit",))
SUMMARY = TensorSummary((2, 3), "float32", 6, 1, 0, 0.1, 0.9, 0.5, 0.2, 0.9, 0.88, ("nan", 0.5))
HIT = OperatorHitReported(
    *(1, "op:* when nan_count > 0", "planted.mnn", "root", "UnaryOp", 1, 0, "after", "continue", 1, 0),
    (SUMMARY,),
)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, quotas=Quotas(operator_hits=30)) as running:
        (running.workspace.root / "task.py").touch()
        yield running


async def begin(daemon: DeviceDaemon, linked: Link) -> Run:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    await linked.report(run.id, TaskStarted(1))
    return run


async def hits_told(daemon: DeviceDaemon) -> list[Event]:
    async with open_event_log(daemon.database) as log:
        return list((await log.page(0, choice=HITS)).items)


async def test_hits_are_numbered_and_come_in_pages(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for number in range(1, 6):
        await linked.report(run.id, replace(HIT, hit=number, iteration=number - 1))
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
    await daemon.runs.get(run.id, wait=10)

    first = await daemon.runs.operator_hits(run.id, limit=3)
    rest = await daemon.runs.operator_hits(run.id, behind=first[-1].number)
    assert [(hit.number, hit.iteration) for hit in (*first, *rest)] == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
    assert first[0].tensors == (SUMMARY,)
    assert await daemon.runs.operator_hits(run.id, behind=5, wait=10) == ()
    with pytest.raises(NotFoundError):
        await daemon.runs.operator_hits("r404")


async def test_a_hit_wakes_whoever_waits_for_it(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await linked.report(run.id, HIT)
    (hit,) = await daemon.runs.operator_hits(run.id, wait=30)
    assert hit.operator == "root"


async def test_a_flood_of_hits_is_one_event_that_counts_them(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for number in range(1, 31):
        await linked.report(run.id, replace(HIT, hit=number))
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
    await daemon.runs.get(run.id, wait=10)

    (event,) = await hits_told(daemon)
    assert event.data == {"run": run.id, "hits": 30, "operator": "root", "breakpoint": HIT.breakpoint}
    assert event.workspace == daemon.workspace.id


async def test_the_last_hit_of_a_burst_is_told_although_none_follows(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for number in range(1, 4):
        stored = await linked.report(run.id, replace(HIT, hit=number))
        await linked.acknowledged(f"{run.id}.events", stored)
    async with open_event_log(daemon.database) as log:
        told = 0
        while told < 3:
            latest = log.latest
            told = max((event.data["hits"] for event in (await log.page(0, choice=HITS)).items), default=0)
            if told < 3:
                await log.wait(latest)


async def test_a_device_that_reports_too_many_hits_ends_its_run(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for number in range(1, 32):
        await linked.report(run.id, replace(HIT, hit=number))
    ended = await daemon.runs.get(run.id, wait=10)
    assert ended.state is RunState.FAILED
    assert ended.error is not None
    assert "more than 30 hits of operator breakpoints" in ended.error["message"]


async def test_what_a_device_says_of_operators_is_text_and_bounded(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    odd = "\x1b[2J'; drop table runs; --\u202e<script>"
    hostile = replace(HIT, operator=odd, operator_type=odd, model=f"../{odd}", breakpoint=odd)
    await linked.report(run.id, hostile)
    for stop in range(1, 257):
        await linked.report(run.id, OperatorStopped(stop, hostile, (), (SUMMARY,)))
    await linked.report(run.id, OperatorResumed(1, 999, "skip"))  # of no stop
    (hit,) = await daemon.runs.operator_hits(run.id, wait=30)
    assert hit.operator == odd
    await linked.acknowledged(f"{run.id}.events", linked.last[f"{run.id}.events"])
    stops = await daemon.runs.operator_stops(run.id)
    assert (len(stops), stops[0].hit.operator_type) == (256, odd)
    assert (await daemon.runs.get(run.id)).message == f"paused at {printable(odd, 60)}, and at others"

    await linked.report(run.id, OperatorStopped(257, hostile, (), ()))
    ended = await daemon.runs.get(run.id, wait=10)
    assert ended.error is not None
    assert "waits at more than 256 operators" in ended.error["message"]
    assert await daemon.runs.operator_stops(run.id) == ()


async def test_a_stop_is_told_and_gone_when_the_run_goes_on(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await linked.report(run.id, OperatorStopped(1, HIT, (), (SUMMARY,)))
    await linked.report(run.id, OperatorStopped(2, HIT, (), (SUMMARY,)))
    stored = await linked.report(run.id, OperatorResumed(5, 1, "replace"))
    await linked.acknowledged(f"{run.id}.events", stored)
    assert [stop.stop for stop in await daemon.runs.operator_stops(run.id)] == [2]
    assert (await daemon.runs.get(run.id)).message == "paused at root"
    async with open_event_log(daemon.database) as log:
        told = (await log.page(0, choice=Choice(("run.paused", "run.resumed")))).items
    assert [(event.kind, event.data["stop"]) for event in told] == [
        ("run.paused", 1),
        ("run.paused", 2),
        ("run.resumed", 1),
    ]


async def test_hits_outlive_the_daemon_and_are_counted_on(tmp_path: Path) -> None:
    async with device_daemon(tmp_path, port=0) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as live:
            run = await begin(daemon, live)
            stored = await live.report(run.id, HIT)
            await live.acknowledged(f"{run.id}.events", stored)
        port = daemon.port
    async with device_daemon(tmp_path, port=port) as daemon, link(phone, streams=(f"{run.id}.events",)) as live:
        live.last[f"{run.id}.events"] = stored
        await live.report(run.id, replace(HIT, hit=2))
        await live.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
        await daemon.runs.get(run.id, wait=10)
        assert [hit.number for hit in await daemon.runs.operator_hits(run.id)] == [1, 2]
