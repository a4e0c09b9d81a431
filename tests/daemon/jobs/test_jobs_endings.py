"""How jobs end otherwise than by themselves: cancelled, orphaned, outliving the daemon."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon.jobs.conftest import Gate, OpenJobs, Start

from edgeloop_daemon.jobs.job import JobState
from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.jobs.job_queue import JobQueue
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.store.database import Database
from edgeloop_shared import process_lock

SECONDS = 30
NewGate = Callable[[], Gate]


class Witness:
    """The reading end of a FIFO that a job's child keeps open: its end of file is the child's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    async def sees_the_child(self) -> None:
        self._descriptor = await asyncio.to_thread(os.open, self._path, os.O_RDONLY)
        assert await asyncio.to_thread(os.read, self._descriptor, 100) == b"here"

    async def sees_it_end(self) -> None:
        readable, _, _ = await asyncio.to_thread(select.select, [self._descriptor], [], [], SECONDS)
        try:
            assert readable, "the child lives on"
            assert os.read(self._descriptor, 100) == b""
        finally:
            os.close(self._descriptor)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    os.mkfifo(tmp_path / "witness")
    return Witness(tmp_path / "witness")


async def test_cancelling_ends_the_job_and_everything_that_it_started(
    jobs: Jobs, start: Start, witness: Witness, tmp_path: Path
) -> None:
    job = await start(jobs, "start_a_child", witness=str(tmp_path / "witness"))
    await witness.sees_the_child()
    await jobs.cancel(job.id)
    ended = await jobs.wait(job.id, SECONDS)
    await witness.sees_it_end()

    assert (ended.state, ended.result, ended.error) == (JobState.CANCELLED, None, None)


async def test_a_cancelled_handler_can_clean_up(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "clean_up_at_the_end", gate=str(gate.path))
    descriptor = await gate.reached()
    await jobs.cancel(job.id)
    ended = await jobs.wait(job.id, SECONDS)
    os.close(descriptor)

    assert ended.state is JobState.CANCELLED
    assert (await jobs.log(job.id)).text == "cleaned up\n"


async def test_a_job_that_does_not_listen_is_killed(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "refuse_to_end", gate=str(gate.path))
    await gate.let_pass()
    await jobs.cancel(job.id)

    assert (await jobs.wait(job.id, SECONDS)).state is JobState.CANCELLED


async def test_a_job_that_waits_is_cancelled_without_being_started(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo")
        cancelled = await jobs.cancel(second.id)
        await gate.let_pass()
        await jobs.wait(first.id, SECONDS)

        assert (cancelled.state, cancelled.started_at) == (JobState.CANCELLED, None)
        assert not JobFolder(tmp_path / "jobs" / second.id).lock.exists()


async def test_cancelling_what_has_ended_changes_nothing(jobs: Jobs, start: Start) -> None:
    ended = await jobs.wait((await start(jobs, "echo")).id, SECONDS)

    assert await jobs.cancel(ended.id) == ended


async def test_a_job_cancelled_right_after_its_start_never_succeeds(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "wait_at_gate", gate=str(gate.path))
    await jobs.cancel(job.id)

    assert (await jobs.wait(job.id, SECONDS)).state is JobState.CANCELLED


async def test_a_job_whose_supervisor_is_killed_has_failed_and_leaves_nothing_behind(
    jobs: Jobs, start: Start, witness: Witness, tmp_path: Path
) -> None:
    job = await start(jobs, "start_a_child", witness=str(tmp_path / "witness"))
    await witness.sees_the_child()
    process_lock.signal_holder(tmp_path / "jobs" / job.id / "lock", signal.SIGKILL)
    ended = await jobs.wait(job.id, SECONDS)
    await witness.sees_it_end()

    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert "watched over the job was ended from outside" in ended.error["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: elsewhere the next daemon does it")
async def test_a_job_does_not_outlive_its_supervisor_even_without_a_daemon(
    opened: OpenJobs, start: Start, witness: Witness, tmp_path: Path
) -> None:
    async with opened() as jobs:
        job = await start(jobs, "start_a_child", witness=str(tmp_path / "witness"))
        await witness.sees_the_child()
    process_lock.signal_holder(tmp_path / "jobs" / job.id / "lock", signal.SIGKILL)
    await witness.sees_it_end()
    async with opened() as jobs:
        assert (await jobs.wait(job.id, SECONDS)).state is JobState.FAILED


async def test_a_second_supervisor_of_a_job_does_nothing(jobs: Jobs, start: Start, gate: Gate, tmp_path: Path) -> None:
    job = await start(jobs, "wait_at_gate", gate=str(gate.path))
    await jobs.log(job.id, wait=SECONDS)
    command = [sys.executable, "-m", "edgeloop_daemon.jobs.supervisor", str(tmp_path / "jobs" / job.id)]
    done = await asyncio.to_thread(subprocess.run, command, check=False)
    await gate.let_pass("once")
    ended = await jobs.wait(job.id, SECONDS)
    again = await asyncio.to_thread(subprocess.run, command, check=False)

    assert (done.returncode, again.returncode) == (0, 0)
    assert ended.result["text"] == "once"
    assert (await jobs.log(job.id)).text.count("before") == 1


async def test_a_running_job_outlives_the_daemon_and_the_next_one_follows_it(
    opened: OpenJobs, start: Start, gate: Gate
) -> None:
    async with opened() as jobs:
        job = await start(jobs, "wait_at_gate", gate=str(gate.path))
        assert (await jobs.log(job.id, wait=SECONDS)).text == "before\n"
    async with opened() as jobs:
        running = await jobs.get(job.id)
        await gate.let_pass("still here")
        ended = await jobs.wait(job.id, SECONDS)
        metrics = await jobs.metrics(job.id)

    assert running.state is JobState.RUNNING
    assert (ended.state, ended.result["text"]) == (JobState.SUCCEEDED, "still here")
    assert [(point.step, point.value) for point in metrics] == [(1, 0.5), (2, 0.25)]


def _wait_for_the_lock(path: Path) -> None:
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


async def test_a_job_that_ended_without_a_daemon_is_taken_over(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened() as jobs:
        job = await start(jobs, "wait_at_gate", gate=str(gate.path))
        assert (await jobs.log(job.id, wait=SECONDS)).text == "before\n"
    await gate.let_pass("alone")
    await asyncio.to_thread(_wait_for_the_lock, tmp_path / "jobs" / job.id / "lock")
    async with opened() as jobs:
        ended = await jobs.wait(job.id, SECONDS)

    assert (ended.state, ended.result["text"]) == (JobState.SUCCEEDED, "alone")


async def test_jobs_that_wait_are_started_by_the_next_daemon(opened: OpenJobs, start: Start, gate: Gate) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo", text="patient")
        await jobs.log(first.id, wait=SECONDS)
    async with opened(limit=1) as jobs:
        waiting = await jobs.get(second.id)
        await gate.let_pass()
        ended = await jobs.wait(second.id, SECONDS)

    assert waiting.state is JobState.QUEUED
    assert ended.result["text"] == "patient"


async def test_a_job_whose_folder_is_gone_has_failed(
    opened: OpenJobs, start: Start, database: Database, tmp_path: Path
) -> None:
    async with opened(limit=1) as jobs:
        job = await start(jobs, "echo")
        await jobs.wait(job.id, SECONDS)
        await database.write(lambda db: db.update("jobs", job.id, {"state": "running"}))
    JobFolder(tmp_path / "jobs" / job.id).root.rename(tmp_path / "elsewhere")
    async with opened() as jobs:
        ended = await jobs.wait(job.id, SECONDS)
        page = await jobs.log(job.id)

    assert ended.error is not None
    assert "folder" in ended.error["message"]
    assert (page.text, page.ended) == ("", True)


async def test_stopping_all_ends_what_runs_and_what_waits(opened: OpenJobs, start: Start, new_gate: NewGate) -> None:
    async with opened(limit=2) as jobs:
        started = [await start(jobs, "wait_at_gate", gate=str(new_gate().path)) for _ in range(4)]
        await jobs.log(started[0].id, wait=SECONDS)
        await jobs.stop_all()

        assert [(await jobs.get(job.id)).state for job in started] == [JobState.CANCELLED] * 4


async def test_no_more_jobs_run_than_the_limit_allows(opened: OpenJobs, start: Start, new_gate: NewGate) -> None:
    gates = [new_gate() for _ in range(3)]
    async with opened(limit=2) as jobs:
        started = [await start(jobs, "wait_at_gate", gate=str(gate.path)) for gate in gates]
        for job in started[:2]:
            await jobs.log(job.id, wait=SECONDS)
        states = [(await jobs.get(job.id)).state for job in started]
        for gate in gates:
            await gate.let_pass()
        for job in started:
            await jobs.wait(job.id, SECONDS)

    assert states == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED]


def test_the_queue_is_fair_between_workspaces() -> None:
    queue = JobQueue()
    for job, workspace in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")):
        queue.add(job, workspace)
    running: list[str] = []
    order = []
    while queue:
        job, workspace = queue.take(running)
        order.append(job)
        running.append(workspace)

    assert order == ["a1", "b1", "a2", "b2", "a3"]
