"""Runs whose device was away for too long, and what becomes of them when it is back: real links, a short patience."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, link
from daemon.device_runs import ended, line

from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.errors import TaskFailedError
from edgeloop_shared.messages import CancelTask
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import FileAnnounced, ResultReported, TaskFinished, TaskStarted

VANISH_SECONDS = 0.05
FILE = b"what the script made"


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, vanish_seconds=VANISH_SECONDS) as running:
        (running.workspace.root / "task.py").touch()
        yield running


@pytest_asyncio.fixture
async def phone(daemon: DeviceDaemon) -> Identity:
    return await daemon.pair("pocket")


def streams(run: Run) -> tuple[str, str]:
    return f"{run.id}.events", f"{run.id}.logs"


async def begin(daemon: DeviceDaemon, linked: Link, *, stored: int = 1) -> Run:
    """Start a run that says that it has started and prints `stored` lines."""
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    events, logs = streams(run)
    await linked.acknowledged(events, await linked.report(run.id, TaskStarted(1)))
    for number in range(1, stored + 1):
        await linked.acknowledged(logs, await linked.send(logs, line(f"line {number}")))
    return run


async def lost(daemon: DeviceDaemon, phone: Identity) -> Run:
    """Start a run and lose its device for too long."""
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        linked.cut()
    return await ended(daemon, run)


async def lines(daemon: DeviceDaemon, run: Run) -> list[str]:
    return [item.text for item in (await daemon.runs.log(run.id)).items]


async def kinds(daemon: DeviceDaemon) -> list[str]:
    rows = await daemon.database.read(lambda db: db.execute("select kind from events order by cursor").fetchall())
    return [kind for (kind,) in rows if kind.startswith("run.")]


async def finish(daemon: DeviceDaemon, phone: Identity, run: Run) -> Run:
    """Bring the run back with a second line and a result, and let it end well."""
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 1, logs: 1}) as linked:
        assert linked.positions == {events: 1, logs: 1}
        await linked.send(logs, line("line 2"))
        await linked.report(run.id, ResultReported({"top": 1}))
        await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=2, traces=0))
        async with asyncio.timeout(10):
            while not (found := await daemon.runs.get(run.id, wait=10)).state.is_terminal or found.may_return:
                await daemon.runs.log(run.id, offset=2, wait=10)
        return found


async def test_a_run_whose_device_was_away_too_long_has_failed_and_may_return(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    run = await lost(daemon, phone)
    assert run.state is RunState.FAILED
    assert run.may_return
    assert run.error is not None
    assert run.error["code"] == "device-vanished"
    assert f"`edgeloop logs -f {run.id}`" in run.error["hint"]


async def test_a_run_that_returns_goes_on_where_it_was_and_ends_as_its_device_says(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    run = await lost(daemon, phone)
    run = await finish(daemon, phone, run)
    assert (run.state, run.error, run.may_return, run.result) == (RunState.SUCCEEDED, None, False, {"top": 1})
    assert await lines(daemon, run) == ["line 1", "line 2"]
    assert await kinds(daemon) == ["run.queued", "run.started", "run.failed", "run.returned", "run.succeeded"]


async def test_while_it_goes_on_it_is_running_again(daemon: DeviceDaemon, phone: Identity) -> None:
    run = await lost(daemon, phone)
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 1, logs: 1}) as linked:
        await linked.acknowledged(logs, await linked.send(logs, line("line 2")))
        run = await daemon.runs.get(run.id)
        assert (run.state, run.ended_at, run.error, run.may_return) == (RunState.RUNNING, None, None, False)
        assert (await daemon.runs.cancel(run.id)).state is RunState.RUNNING
        assert (await linked.receive(CancelTask)).run_id == run.id


async def test_a_run_may_return_again_and_again(daemon: DeviceDaemon, phone: Identity) -> None:
    run = await lost(daemon, phone)
    async with link(phone, streams=streams(run), runs=(run.id,)) as linked:
        async with asyncio.timeout(60):
            while (await daemon.runs.get(run.id)).may_return:
                await daemon.runs.log(run.id, offset=1, wait=0.1)  # of the return itself nothing may come any more
        linked.cut()
    assert (await ended(daemon, run)).may_return
    assert (await finish(daemon, phone, run)).state is RunState.SUCCEEDED


async def test_a_run_returns_to_another_daemon_on_the_same_state(tmp_path: Path) -> None:
    async with device_daemon(tmp_path, vanish_seconds=VANISH_SECONDS) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        run = await lost(daemon, phone)
    async with device_daemon(tmp_path, vanish_seconds=VANISH_SECONDS) as daemon:
        assert (await daemon.runs.get(run.id)).may_return
        run = await finish(daemon, phone, run)
        assert run.state is RunState.SUCCEEDED
        assert await lines(daemon, run) == ["line 1", "line 2"]


async def test_a_run_that_failed_on_its_device_meanwhile_fails_with_the_script_s_error(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    run = await lost(daemon, phone)
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 1, logs: 1}) as linked:
        error = TaskFailedError("ValueError: no").as_dict()
        last = await linked.report(run.id, TaskFinished(2, RunState.FAILED, logs=1, traces=0, error=error))
        await linked.acknowledged(events, last)
    run = await ended(daemon, run)
    assert run.error is not None
    assert (run.error["code"], run.may_return) == ("task-failed", False)


async def test_the_last_lines_of_a_run_whose_outcome_is_known_come_when_it_returns(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        last = await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=2, traces=0))
        await linked.acknowledged(f"{run.id}.events", last)
        linked.cut()
    run = await ended(daemon, run)
    assert (run.state, run.may_return) == (RunState.SUCCEEDED, True)
    assert (await daemon.runs.cancel(run.id)).state is RunState.SUCCEEDED
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 2, logs: 1}) as linked:
        await linked.acknowledged(logs, await linked.send(logs, line("line 2")))
    run = await ended(daemon, run)
    assert (run.state, run.may_return) == (RunState.SUCCEEDED, False)
    assert await lines(daemon, run) == ["line 1", "line 2"]


async def test_a_file_that_was_announced_before_comes_after_the_return(daemon: DeviceDaemon, phone: Identity) -> None:
    sha256 = hashlib.sha256(FILE).hexdigest()
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        last = await linked.report(run.id, FileAnnounced("out.bin", sha256, len(FILE)))
        await linked.acknowledged(f"{run.id}.events", last)
        linked.cut()
    await ended(daemon, run)
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 2, logs: 1}) as linked:
        assert await linked.upload(FILE) in (200, 201)
        await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=1, traces=0))
        run = await ended(daemon, run)
    assert [(file.name, file.is_received) for file in run.files] == [("out.bin", True)]


async def test_a_follower_of_the_output_waits_for_the_return(daemon: DeviceDaemon, phone: Identity) -> None:
    run = await lost(daemon, phone)
    page = await daemon.runs.log(run.id, offset=1)
    assert (page.items, page.ended) == ((), False)
    waiting = asyncio.create_task(daemon.runs.log(run.id, offset=1, wait=10))
    await finish(daemon, phone, run)
    while not (page := await waiting).items:
        waiting = asyncio.create_task(daemon.runs.log(run.id, offset=1, wait=10))
    assert [item.text for item in page.items] == ["line 2"]
    assert (await daemon.runs.log(run.id, offset=page.next_offset)).ended


async def test_a_run_that_was_cancelled_while_its_device_was_away_stays_so(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    run = await lost(daemon, phone)
    run = await daemon.runs.cancel(run.id)
    assert (run.state, run.may_return) == (RunState.CANCELLED, False)
    assert (await daemon.runs.log(run.id, offset=1)).ended
    events, logs = streams(run)
    async with link(phone, streams=(events, logs), runs=(run.id,), last={events: 1, logs: 1}) as linked:
        assert (await linked.receive(CancelTask)).run_id == run.id
        await linked.acknowledged(logs, await linked.send(logs, line("line 2")))  # taken, and not kept
    assert (await daemon.runs.get(run.id)).state is RunState.CANCELLED
    assert await lines(daemon, run) == ["line 1"]


async def test_a_run_of_a_device_that_was_unpaired_does_not_return(daemon: DeviceDaemon, phone: Identity) -> None:
    run = await lost(daemon, phone)
    await daemon.devices.revoke(phone.id)
    run = await daemon.runs.get(run.id)
    assert run.error is not None
    assert "does not return: it was unpaired" in run.error["message"]
    assert not run.may_return
    assert (await daemon.runs.log(run.id, offset=1)).ended


@pytest.mark.parametrize(("epoch", "holds_it"), [("epoch1", False), ("epoch2", True)])
async def test_a_run_that_its_device_no_longer_has_does_not_return(
    daemon: DeviceDaemon, phone: Identity, epoch: str, holds_it: bool
) -> None:
    run = await lost(daemon, phone)
    async with link(phone, epoch=epoch, runs=(run.id,) if holds_it else ()):
        async with asyncio.timeout(10):
            while (found := await daemon.runs.get(run.id)).may_return:
                await daemon.runs.log(run.id, offset=1, wait=10)
    assert found.state is RunState.FAILED
    assert found.error is not None
    assert "does not return: its app was started anew" in found.error["message"]
    assert await kinds(daemon) == ["run.queued", "run.started", "run.failed"]


async def test_no_other_device_brings_a_run_back(daemon: DeviceDaemon, phone: Identity) -> None:
    run = await lost(daemon, phone)
    other = await daemon.pair("other")
    async with link(other, streams=streams(run), runs=(run.id,)) as linked:
        assert (await linked.receive(CancelTask)).run_id == run.id
        assert linked.positions == dict.fromkeys(streams(run), 0)
        assert (await daemon.runs.get(run.id)).may_return
