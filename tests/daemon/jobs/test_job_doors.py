"""What a running job may use of the local API, and for how long."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.jobs.job_doors import JobDoors
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec
from edgeloop_shared.errors import ConflictError, StorageFullError


class Cancelled:
    """Notes which runs are cancelled; one of them cannot be."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def __call__(self, run: str) -> None:
        if run == "rfull":
            raise StorageFullError("The disk is full.")
        self.runs.append(run)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "j1")
    folder.create(JobSpec("j1", "n", "m:h", "m:P", {}, "m:R", str(tmp_path)))
    return folder


def allowed(tokens: Tokens, method: str, path: str) -> bool:
    return tokens.allows("job j1", method, path)


def test_the_token_of_a_job_opens_only_its_own_runs_on_devices(folder: JobFolder) -> None:
    tokens, doors_cancel = Tokens(), Cancelled()
    doors = JobDoors(tokens, doors_cancel)
    doors.announce(4711)
    doors.open("j1", folder)
    doors.add_run("j1", "r1")

    told = json.loads(folder.runtime.read_text())
    assert told["port"] == 4711
    assert tokens.name_of(told["token"]) == "job j1"
    assert folder.runtime.stat().st_mode & 0o777 == 0o600
    for method, path in (
        ("POST", "/jobs/j1/runs"),
        ("GET", "/devices"),
        ("GET", "/runs/r1"),
        ("GET", "/runs/r1/log"),
        ("GET", "/runs/r1/files/record.arrays"),
        ("DELETE", "/runs/r1"),
    ):
        assert allowed(tokens, method, path), path
    for method, path in (
        ("POST", "/jobs/j2/runs"),
        ("GET", "/jobs/j1"),
        ("GET", "/runs"),
        ("GET", "/runs/r2"),
        ("GET", "/runs/r1x"),
        ("GET", "/runs/../devices/r1"),
        ("POST", "/runs/r1/baseline"),
        ("DELETE", "/devices/d1"),
        ("POST", "/tokens"),
        ("POST", "/shutdown"),
        ("GET", "/openapi.json"),
    ):
        assert not allowed(tokens, method, path), path


def test_a_token_without_a_scope_opens_everything() -> None:
    tokens = Tokens()
    tokens.issue("mine")
    assert tokens.allows("mine", "POST", "/shutdown")


def test_a_door_closes_with_its_job_and_cancels_what_the_job_has_left_behind(folder: JobFolder) -> None:
    tokens, cancelled = Tokens(), Cancelled()
    doors = JobDoors(tokens, cancelled)
    doors.announce(4711)
    doors.open("j1", folder)
    for run in ("r1", "rfull", "r2"):
        doors.add_run("j1", run)
    token = json.loads(folder.runtime.read_text())["token"]

    asyncio.run(doors.close("j1"))

    assert tokens.name_of(token) is None
    assert not folder.runtime.exists()
    assert sorted(cancelled.runs) == ["r1", "r2"]
    with pytest.raises(ConflictError, match="does not run"):
        doors.folder("j1")
    asyncio.run(doors.close("j1"))  # a second time nothing happens


def test_a_later_daemon_opens_the_door_again_for_the_runs_of_before(folder: JobFolder) -> None:
    before = JobDoors(Tokens(), Cancelled())
    before.announce(4711)
    before.open("j1", folder)
    before.add_run("j1", "r1")

    tokens = Tokens()
    after = JobDoors(tokens, Cancelled())
    after.open("j1", folder)
    after.announce(4712)

    told = json.loads(folder.runtime.read_text())
    assert (told["port"], tokens.name_of(told["token"])) == (4712, "job j1")
    assert allowed(tokens, "GET", "/runs/r1")
