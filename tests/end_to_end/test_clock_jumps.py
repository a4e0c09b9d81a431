"""The computer's clock is set forward and back while the daemon, a job and a device work: nothing ends, goes or is mixed up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end.chaos import works
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.store.folders import Folders

DAY = 24 * 3600
WRONG_CLOCK = """
import os, pathlib, time
right, right_ns, offset = time.time, time.time_ns, pathlib.Path(os.environ["WRONG_BY"])
time.time = lambda: right() + int(offset.read_text())
time.time_ns = lambda: right_ns() + int(offset.read_text()) * 10**9
"""


class Clock:
    """The wall clock of every Python process of one user's. Monotonic clocks go on as they are.

    libfaketime cannot be used: with real monotonic clocks, Python's `time.sleep` fails under it.
    """

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock" / "offset"
        self._offset.parent.mkdir()
        (self._offset.parent / "sitecustomize.py").write_text(WRONG_CLOCK)
        self.set(0)
        self.variables = {"PYTHONPATH": str(self._offset.parent), "WRONG_BY": str(self._offset)}

    def set(self, seconds: int) -> None:
        """Let it be wrong by so many seconds."""
        new = self._offset.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._offset)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def user(tmp_path: Path, clock: Clock) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path / "home", tmp_path, clock.variables)
    line.run("up", "--device-host", "127.0.0.1")
    try:
        yield line
    finally:
        line.run("down", "--stop-jobs")


def worked_through(client: Client, at: str, key: str, truth: Path, change: Callable[[], None]) -> tuple[str, str]:
    """Let a training and a run on the device work, make the `change` in the middle, and return their ids when both have ended."""
    job = client.post(f"{at}/train", {})["id"]
    run = client.post(f"{at}/runs", {"script": "task.py", "arguments": [str(truth), key, "plain"]})["id"]
    until(lambda: (truth / job).exists() and (truth / key).exists(), "both work")
    change()
    until(lambda: all(client.get(path)["ended_at"] for path in (f"/jobs/{job}", f"/runs/{run}")), "both end")
    return job, run


def test_work_survives_the_clock_and_lists_and_events_stay_in_order(
    user: CommandLine, clock: Clock, tmp_path: Path
) -> None:
    truth, project = tmp_path / "truth", tmp_path / "project"
    truth.mkdir()
    user.run("init", "project", "--template", "empty")
    works.lay_out(project, truth)
    user.run("device", "virtual", "--allow", "--name", "phone")
    with contextlib.closing(Client(Folders(user.home))) as client:
        (workspace,) = client.items("/workspaces")
        at = f"/workspaces/{workspace['id']}"
        first = worked_through(client, at, "forward", truth, lambda: clock.set(3 * DAY))
        second = worked_through(client, at, "back", truth, lambda: clock.set(-3 * DAY))
        third = worked_through(client, at, "right", truth, lambda: clock.set(0))
        jobs, runs = (list(pair) for pair in zip(third, second, first, strict=True))

        assert [job["id"] for job in client.items("/jobs")] == jobs
        assert [run["id"] for run in client.items("/runs")] == runs
        for record in (*client.items("/jobs"), *client.items("/runs")):
            assert record["state"] == "succeeded", record["error"]
            assert record["created_at"] <= record["started_at"] <= record["ended_at"]
        told = events(client)
        assert [event["cursor"] for event in told] == sorted({event["cursor"] for event in told})
        for noun, ids in (("job", jobs), ("run", runs)):
            for one in ids:
                kinds = [event["kind"] for event in told if event["data"].get(noun) == one]
                kept = [kind for kind in kinds if not kind.endswith((".progress", ".transfer", ".file"))]
                assert kept == [f"{noun}.queued", f"{noun}.started", f"{noun}.succeeded"]
        assert [event["kind"] for event in told if event["kind"].startswith("device.")].count("device.linked") == 1
    assert " -" not in user.within(project).run("jobs")  # a duration that is negative, or none at all


def test_a_pairing_window_takes_its_time_whatever_the_clock_says(user: CommandLine, clock: Clock) -> None:
    with contextlib.closing(Client(Folders(user.home))) as client:
        client.post("/pairing", {"timeout_seconds": 60})
        clock.set(3 * DAY)
        assert client.get("/pairing")["state"] == "open"
        clock.set(-3 * DAY)
        assert client.get("/pairing")["state"] == "open"


def test_a_restart_with_a_wrong_clock_prunes_nothing(user: CommandLine, clock: Clock) -> None:
    user.run("init", "project", "--template", "empty")
    before = shown(user)
    for seconds in (3 * DAY, -3 * DAY, 0):
        clock.set(seconds)
        user.run("down")
        user.run("up", "--device-host", "127.0.0.1")
        after = shown(user)
        assert after[: len(before)] == before
        before = after
    assert user.json("prune", "--dry-run")["items"] == []


def shown(user: CommandLine) -> list[Record]:
    with contextlib.closing(Client(Folders(user.home))) as client:
        return events(client)


def events(client: Client) -> list[Record]:
    page = client.get("/events", since=0, limit=1000)
    assert page["next"] == page["latest"]
    found: list[Record] = page["items"]
    return found
