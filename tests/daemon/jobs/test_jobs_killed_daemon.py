"""The moments between two writes in which a daemon may be killed: what the next one makes of a job."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from daemon.jobs.conftest import Gate, OpenJobs, Start

from edgeloop_daemon.jobs.job import JobState
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec
from edgeloop_daemon.store.database import Database

SECONDS = 30


async def test_a_folder_without_a_row_was_never_promised_and_is_removed(opened: OpenJobs, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs" / "jorphan")
    await asyncio.to_thread(folder.create, JobSpec("jorphan", "echo", "m:f", "m:C", {}, "m:R", str(tmp_path)))
    async with opened():
        assert not folder.root.exists()


async def test_a_folder_of_a_job_that_has_begun_is_never_removed_at_a_start(opened: OpenJobs, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs" / "jlost")
    await asyncio.to_thread(folder.create, JobSpec("jlost", "echo", "m:f", "m:C", {}, "m:R", str(tmp_path)))
    folder.group.touch()  # its row may be in a database that somebody has moved away
    async with opened():
        assert folder.log.exists()


async def test_a_job_whose_supervisor_died_before_it_had_begun_is_begun_again(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo", text="once")
        await jobs.log(first.id, wait=SECONDS)
    JobFolder(tmp_path / "jobs" / second.id).lock.touch()  # opened, and not locked yet
    async with opened(limit=2) as jobs:
        ended = await jobs.wait(second.id, SECONDS)
        await gate.let_pass()
        await jobs.wait(first.id, SECONDS)
    assert (ended.state, ended.result["text"]) == (JobState.SUCCEEDED, "once")


async def test_a_cancellation_outlives_the_daemon_that_was_asked_for_it(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo", text="never")
        await jobs.log(first.id, wait=SECONDS)
    JobFolder(tmp_path / "jobs" / second.id).cancel.touch()  # killed between this and the signal
    async with opened(limit=2) as jobs:
        ended = await jobs.wait(second.id, SECONDS)
        log = await jobs.log(second.id)
        await gate.let_pass()
        await jobs.wait(first.id, SECONDS)
    assert (ended.state, log.text) == (JobState.CANCELLED, "")


@pytest.mark.parametrize(
    "spoiled", ["", "garbage", '{"state": "splendid", "result": 1, "error": null, "ended_at": 1.0}']
)
async def test_an_end_that_cannot_be_read_is_a_failure_that_says_so(
    opened: OpenJobs, start: Start, database: Database, tmp_path: Path, spoiled: str
) -> None:
    async with opened() as jobs:
        job = await start(jobs, "echo")
        await jobs.wait(job.id, SECONDS)
    JobFolder(tmp_path / "jobs" / job.id).status.write_text(spoiled)
    await database.write(lambda db: db.update("jobs", job.id, {"state": "running"}))
    async with opened() as jobs:
        ended = await jobs.wait(job.id, SECONDS)
    assert ended.error is not None
    assert "cannot be read" in ended.error["message"]


async def test_a_spec_that_cannot_be_read_fails_the_job_with_its_reason(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo")
        await jobs.log(first.id, wait=SECONDS)
        (tmp_path / "jobs" / second.id / "spec.json").write_text("{half")
        await gate.let_pass()
        ended = await jobs.wait(second.id, SECONDS)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert "JSONDecodeError" in json.dumps(ended.error)


async def test_a_progress_that_cannot_be_read_is_none(
    opened: OpenJobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    async with opened() as jobs:
        job = await start(jobs, "wait_at_gate", gate=str(gate.path))
        await jobs.log(job.id, wait=SECONDS)
    (tmp_path / "jobs" / job.id / "progress.json").write_text("garbage")
    async with opened() as jobs:
        running = await jobs.get(job.id)
        await gate.let_pass()
        ended = await jobs.wait(job.id, SECONDS)
    assert (running.state, running.progress, ended.state) == (JobState.RUNNING, None, JobState.SUCCEEDED)
