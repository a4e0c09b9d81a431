"""Runs whose device goes away and comes back, is started anew or unpaired, and runs over a restart of the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, link
from daemon.device_runs import begin, ended, line

from edgeloop_shared.messages import CancelTask, RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import FileAnnounced, TaskFinished, TaskStarted, TransferProgress


async def test_a_command_without_an_answer_is_repeated_after_a_reconnect(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run = await daemon.runs.start(daemon.workspace, "task.py")
        first = await linked.receive(RunTask)
    async with link(phone) as linked:
        assert await linked.accept() == first
    async with link(phone, runs=(run.id,)) as linked:  # answered: it does not come again
        await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, 0))
        await linked.acknowledged(f"{run.id}.events", 1)
    assert (await ended(daemon, run)).state is RunState.SUCCEEDED


async def test_cancelling_does_not_need_a_device_that_is_away_which_is_told_when_it_returns(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    async with link(phone) as linked:
        run = await begin(daemon, linked)
    await daemon.unlinked()
    assert (await daemon.runs.cancel(run.id)).state is RunState.CANCELLED
    async with link(phone, runs=(run.id,)) as linked:
        assert (await linked.receive(CancelTask)).run_id == run.id


async def test_a_device_that_vanishes_in_mid_run_fails_the_run_and_says_where_it_was(tmp_path: Path) -> None:
    async with device_daemon(tmp_path, vanish_seconds=0.1) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair("pocket")
        async with link(phone) as linked:
            run = await begin(daemon, linked)
            await linked.report(run.id, TaskStarted(1))
            last = await linked.send(f"{run.id}.logs", line("step 7"))
            await linked.acknowledged(f"{run.id}.logs", last)
            linked.cut()
        run = await ended(daemon, run)
        assert run.state is RunState.FAILED
        assert run.error is not None
        assert run.error["code"] == "device-vanished"
        assert "pocket was lost while it worked on task.py, after it had run for" in run.error["message"]
        assert run.error["details"]["state"] == "running"
        assert [item.text for item in (await daemon.runs.log(run.id)).items] == ["step 7"]


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (TransferProgress(3, 10), "when 3 of 10 bytes had been transferred"),
        (TransferProgress(0, 0), "before the script had begun"),  # it had all files
    ],
)
async def test_a_device_that_vanishes_during_the_transfer_says_how_far_it_was(
    tmp_path: Path, progress: TransferProgress, words: str
) -> None:
    async with device_daemon(tmp_path, vanish_seconds=0.1) as daemon:
        (daemon.workspace.root / "task.py").touch()
        async with link(await daemon.pair()) as linked:
            run = await begin(daemon, linked)
            await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, progress))
            linked.cut()
        run = await ended(daemon, run)
        assert run.error is not None
        assert words in run.error["message"]


async def test_a_device_that_comes_back_in_time_goes_on(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, TaskStarted(1)))
        linked.cut()
    streams = (f"{run.id}.events",)
    async with link(phone, streams=streams, runs=(run.id,), last={streams[0]: 1}) as linked:
        await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
        assert (await ended(daemon, run)).state is RunState.SUCCEEDED


async def test_a_device_whose_app_was_started_anew_has_lost_its_runs(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, TaskStarted(1)))
    async with link(phone, epoch="epoch2"):
        run = await ended(daemon, run)
        assert run.error is not None
        assert "its app was started anew" in run.error["message"]


async def test_a_run_that_was_finished_but_for_its_last_lines_keeps_its_outcome(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    async with link(phone) as linked:
        run = await begin(daemon, linked)
        last = await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, logs=5, traces=0))
        await linked.acknowledged(f"{run.id}.events", last)
    async with link(phone, epoch="epoch2"):
        assert (await ended(daemon, run)).state is RunState.SUCCEEDED


async def test_unpairing_a_device_fails_its_runs(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await daemon.devices.revoke(linked.identity.id)
    run = await ended(daemon, run)
    assert run.error is not None
    assert "it was unpaired" in run.error["message"]


async def test_a_run_goes_on_over_a_restart_of_the_daemon(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as linked:
            run = await begin(daemon, linked)
            await linked.report(run.id, TaskStarted(1))
            last = await linked.report(run.id, FileAnnounced("a.txt", "0" * 64, 3))
            await linked.acknowledged(f"{run.id}.events", last)
    async with device_daemon(tmp_path) as daemon:
        streams = (f"{run.id}.events",)
        async with link(phone, streams=streams, runs=(run.id,), last={streams[0]: last}) as linked:
            _, headers, _ = await linked.ask("HEAD", "0" * 64)
            assert headers["Edgeloop-Received"] == "0"
            await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, 0))
            assert (await ended(daemon, run)).state is RunState.SUCCEEDED


async def test_a_run_that_no_device_had_taken_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as linked:
            run = await daemon.runs.start(daemon.workspace, "task.py")
            first = await linked.receive(RunTask)
    async with device_daemon(tmp_path) as daemon, link(phone) as linked:
        assert await linked.accept() == first
        assert (await daemon.runs.get(run.id)).state is RunState.QUEUED
