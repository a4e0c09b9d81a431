"""What becomes of a job's work: its result, its error, its log."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from daemon.jobs.conftest import Gate, Start

from edgeloop.results import MAX_RESULT_BYTES
from edgeloop_daemon.jobs.job import JobState
from edgeloop_daemon.jobs.job_folder import SHOWN_LINES
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_shared.bounded_log import LIMIT_BYTES, TAIL_BYTES
from edgeloop_shared.errors import NotFoundError

SECONDS = 30


async def test_a_job_ends_with_its_handlers_result(jobs: Jobs, start: Start) -> None:
    begun = await start(jobs, "echo", text="häßlich", number=3)
    ended = await jobs.wait(begun.id, SECONDS)

    assert (begun.state, begun.parameters["text"], begun.started_at) == (JobState.QUEUED, "häßlich", None)
    assert ended.error is None
    assert ended.state is JobState.SUCCEEDED
    assert ended.result == {"text": "häßlich", "number": 3}
    assert ended.created_at <= (ended.started_at or 0) <= (ended.ended_at or 0)
    assert (await jobs.log(begun.id)).text == "echo häßlich\n"


async def test_a_job_that_nobody_started_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError):
        await jobs.get("j000")


async def test_an_unexpected_exception_is_told_with_its_traceback(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "raise_a_bug", text="me")).id, SECONDS)

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "job-failed"
    assert "RuntimeError: broken by me" in job.error["message"]
    assert "job_handlers.py" in job.error["details"]["traceback"]
    assert "broken by me" in (await jobs.log(job.id)).text


async def test_an_error_of_ours_keeps_its_code_and_its_details(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "raise_an_error", text="Einsum")).id, SECONDS)

    assert job.error == {
        "code": "conversion-failed",
        "message": "Cannot convert.",
        "hint": "Try another one.",
        "details": {"operators": [{"type": "Einsum"}]},
    }


async def test_an_error_that_is_no_json_is_told_all_the_same(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "raise_a_strange_error")).id, SECONDS)

    assert job.error == {"code": "conversion-failed", "message": "Odd ? name."}


async def test_a_native_crash_names_the_signal_and_the_last_lines(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "crash")).id, SECONDS)

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "SIGSEGV" in job.error["message"]
    assert job.error["details"]["signal"] == "SIGSEGV"
    assert "native last words" in job.error["details"]["native_output"]
    assert len(job.error["details"]["native_output"]) <= SHOWN_LINES


async def test_a_process_that_just_ends_has_failed(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "exit_early", number=0)).id, SECONDS)

    assert job.error is not None
    assert (job.error["code"], job.error["details"]["exit_code"]) == ("job-failed", 0)


async def test_a_handler_that_calls_exit_has_failed(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "call_sys_exit", number=0)).id, SECONDS)

    assert job.error is not None
    assert "SystemExit" in job.error["message"]


async def test_a_result_of_four_mebibytes_is_kept_and_a_larger_one_refused(jobs: Jobs, start: Start) -> None:
    frame = len(json.dumps({"text": "", "number": 0}, separators=(",", ":")))
    kept = await start(jobs, "answer_much", number=MAX_RESULT_BYTES - frame)
    refused = await start(jobs, "answer_much", number=MAX_RESULT_BYTES - frame + 1)

    assert (await jobs.wait(kept.id, SECONDS)).state is JobState.SUCCEEDED
    error = (await jobs.wait(refused.id, SECONDS)).error
    assert error is not None
    assert (error["code"], error["details"]) == ("too-large", {"limit": MAX_RESULT_BYTES, "size": MAX_RESULT_BYTES + 1})


@pytest.mark.parametrize("handler", ["answer_nan", "answer_an_object"])
async def test_a_result_that_is_no_json_is_the_plugins_fault(jobs: Jobs, start: Start, handler: str) -> None:
    error = (await jobs.wait((await start(jobs, handler)).id, SECONDS)).error

    assert error is not None
    assert error["code"] == "plugin-failed"
    assert handler in error["message"]


async def test_a_handler_that_does_not_exist_is_named(jobs: Jobs, start: Start) -> None:
    error = (await jobs.wait((await start(jobs, "no_such_handler")).id, SECONDS)).error

    assert error is not None
    assert "no_such_handler" in error["message"]


async def test_a_job_stands_in_its_workspace_and_takes_no_module_from_there(
    jobs: Jobs, start: Start, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "json.py").write_text("raise AssertionError('the workspace was imported')")
    job = await jobs.wait((await start(jobs, "answer_its_surroundings")).id, SECONDS)

    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result["current"] == job.result["workspace"] == str(workspace)
    assert job.result["job"] == job.id
    assert Path(job.result["folder"]).is_relative_to(tmp_path / "jobs" / job.id)
    assert Path(job.result["folder"]).is_dir()


async def test_a_workspace_that_is_gone_fails_the_job(jobs: Jobs, start: Start, tmp_path: Path) -> None:
    job = await jobs.wait((await start(jobs, "echo", at=tmp_path / "gone")).id, SECONDS)

    assert job.error is not None
    assert str(tmp_path / "gone") in job.error["message"]


async def test_a_thread_that_never_ends_does_not_hold_the_job(jobs: Jobs, start: Start) -> None:
    job = await jobs.wait((await start(jobs, "leave_a_thread_running")).id, SECONDS)

    assert job.result == {"text": "done", "number": 0}


async def test_commands_of_a_handler_are_logged_line_by_line(jobs: Jobs, start: Start, workspace: Path) -> None:
    job = await jobs.wait((await start(jobs, "run_commands", text="hello")).id, SECONDS)

    assert job.result == {"status": 3, "killed": -9, "lines": [f"hello {workspace}"]}
    assert f"hello {workspace}\n" in (await jobs.log(job.id)).text


async def test_a_command_that_is_not_installed_is_named(jobs: Jobs, start: Start) -> None:
    error = (await jobs.wait((await start(jobs, "run_a_missing_command")).id, SECONDS)).error

    assert error is not None
    assert "'no-such-command-anywhere' cannot be started" in error["message"]


async def test_what_a_job_is_told_can_be_read_by_its_user_alone(
    jobs: Jobs, start: Start, gate: Gate, tmp_path: Path
) -> None:
    job = await start(jobs, "wait_at_gate", gate=str(gate.path), text="secret")
    await gate.let_pass()
    await jobs.wait(job.id, SECONDS)

    folder = tmp_path / "jobs" / job.id
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_a_supervisor_stays_small() -> None:
    heavy = "{'asyncio', 'aiohttp', 'pydantic', 'sqlite3', 'numpy', 'MNN', 'pluggy'}"
    code = f"import sys, edgeloop_daemon.jobs.supervisor; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


async def test_a_job_that_prints_without_end_fills_no_disk_and_ends_well(
    jobs: Jobs, start: Start, tmp_path: Path
) -> None:
    job = await start(jobs, "print_without_end", number=200)
    ended = await jobs.wait(job.id, SECONDS)
    log = tmp_path / "jobs" / job.id / "log"
    end = await jobs.log(job.id, offset=log.stat().st_size - 1000)

    assert ended.state is JobState.SUCCEEDED
    assert LIMIT_BYTES < log.stat().st_size < LIMIT_BYTES + 2 * TAIL_BYTES
    assert end.text.endswith("the end\n")
