"""A job seen while it runs: its progress, its metrics, its log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from daemon.jobs.conftest import Gate, OpenJobs, Start

from edgeloop_daemon.jobs.job import JobState, Progress
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.jobs.log_page import read_log_page
from edgeloop_daemon.store.database import Database

SECONDS = 30


async def _logged(jobs: Jobs, job: str, text: str) -> int:
    """Wait until the log holds `text`; return the offset after what was read."""
    seen, offset = "", 0
    while text not in seen:
        page = await jobs.log(job, offset=offset, wait=SECONDS)
        assert page.text, f"the log ended or stood still after {seen!r}"
        seen, offset = seen + page.text, page.next_offset
    return offset


async def test_progress_and_metrics_are_seen_while_a_job_runs(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "wait_at_gate", gate=str(gate.path))
    await _logged(jobs, job.id, "before\n")
    running = await jobs.get(job.id)
    early = await jobs.metrics(job.id)
    await gate.let_pass()
    ended = await jobs.wait(job.id, SECONDS)

    assert running.state is JobState.RUNNING
    assert running.progress == Progress(0.25, "at the gate")
    assert [(m.tag, m.step, m.value) for m in early] == [("loss", 1, 0.5)]
    assert [(m.tag, m.step, m.value) for m in await jobs.metrics(job.id)] == [("loss", 1, 0.5), ("loss", 2, 0.25)]
    assert ended.progress is None
    assert "loss at step 3 is nan" in (await jobs.log(job.id)).text


async def test_following_a_log_waits_for_more_and_for_the_end(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "wait_at_gate", gate=str(gate.path))
    offset = await _logged(jobs, job.id, "before\n")
    at_once = await jobs.log(job.id, offset=offset)
    following = asyncio.create_task(jobs.log(job.id, offset=offset, wait=SECONDS))
    await gate.let_pass()
    page = await following
    await jobs.wait(job.id, SECONDS)
    rest = await jobs.log(job.id, offset=page.next_offset, wait=SECONDS)

    assert (at_once.text, at_once.next_offset, at_once.ended) == ("", offset, False)
    assert (page.text + rest.text).endswith("after\n")
    assert rest.ended


async def test_the_log_of_a_waiting_job_can_be_followed(opened: OpenJobs, start: Start, gate: Gate) -> None:
    async with opened(limit=1) as jobs:
        first = await start(jobs, "wait_at_gate", gate=str(gate.path))
        second = await start(jobs, "echo", text="later")
        following = asyncio.create_task(jobs.log(second.id, wait=SECONDS))
        await gate.let_pass()

        assert (await following).text == "echo later\n"
        assert (await jobs.wait(first.id, SECONDS)).state is JobState.SUCCEEDED
        await jobs.wait(second.id, SECONDS)


async def test_a_flood_of_reports_is_thinned_out_but_the_last_one_arrives(jobs: Jobs, start: Start, gate: Gate) -> None:
    job = await start(jobs, "report_often", gate=str(gate.path), number=20_000)
    descriptor = await gate.reached()
    async with asyncio.timeout(SECONDS), jobs._changed:
        while (await jobs.get(job.id)).progress != Progress(1.0, "last"):
            await jobs._changed.wait()
    await asyncio.to_thread(os.close, descriptor)

    assert (await jobs.wait(job.id, SECONDS)).state is JobState.SUCCEEDED


async def test_a_list_that_is_asked_for_again_shows_each_change(jobs: Jobs, start: Start, database: Database) -> None:
    assert await jobs.recent() == ()
    job = await start(jobs, "echo")
    assert [one.id for one in await jobs.recent()] == [job.id]
    await jobs.wait(job.id, SECONDS)
    assert [(one.id, one.state) for one in await jobs.recent()] == [(job.id, JobState.SUCCEEDED)]
    assert await jobs.recent() == await jobs.recent()
    await database.write(lambda db: db.execute("delete from jobs"))  # as pruning does
    assert await jobs.recent() == ()


async def test_jobs_are_listed_newest_first_by_workspace_and_state(jobs: Jobs, start: Start) -> None:
    first = await start(jobs, "echo")
    other = await start(jobs, "raise_a_bug", of="w2")
    last = await start(jobs, "echo")
    for job in (first, other, last):
        await jobs.wait(job.id, SECONDS)

    assert [job.id for job in await jobs.recent()] == [last.id, other.id, first.id]
    assert [job.id for job in await jobs.recent(workspace="w1")] == [last.id, first.id]
    assert [job.id for job in await jobs.recent(state=JobState.FAILED)] == [other.id]
    assert [job.id for job in await jobs.recent(limit=1)] == [last.id]


@pytest.mark.parametrize("limit", [4, 5, 6, 7, 64])
def test_pages_are_cut_between_characters_and_lose_nothing(tmp_path: Path, limit: int) -> None:
    text = "aé漢字🙂\nplain\n" * 3
    path = tmp_path / "log"
    path.write_bytes(text.encode())
    read, offset, ended = "", 0, False
    while not ended:
        page, _ = read_log_page(path, offset, limit, is_ended=True)
        assert page.next_offset > offset or page.ended
        read, offset, ended = read + page.text, page.next_offset, page.ended

    assert read == text


def test_a_character_that_is_half_written_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("a漢".encode()[:-1])
    running, _ = read_log_page(path, 0, 100, is_ended=False)
    ended, size = read_log_page(path, 0, 100, is_ended=True)

    assert (running.text, running.next_offset, running.ended) == ("a", 1, False)
    assert (ended.text, ended.next_offset, ended.ended) == ("a\N{REPLACEMENT CHARACTER}", size, True)


def test_an_offset_behind_the_end_reads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("short")
    page, _ = read_log_page(path, 1000, 100, is_ended=False)

    assert (page.text, page.next_offset) == ("", 5)
