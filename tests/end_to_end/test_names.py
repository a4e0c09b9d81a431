"""Ids as people type them: their beginnings, `last`, and names of devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine


@dataclass(frozen=True)
class Desk:
    """A user in a workspace, with two devices and a run on each; the older run reported that it was the first."""

    user: CommandLine
    devices: list[dict[str, Any]]
    first: dict[str, Any]
    second: dict[str, Any]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    line = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    line.run("up", "--device-host", "127.0.0.1")
    try:
        line.run("init", "project", "--template", "empty")
        user = line.within(line.folder / "project")
        devices = line.json("device", "virtual", "--allow", "--count", "2", "--name", "phone")
        (user.folder / "say.py").write_text("import sys\nprint('I am', sys.argv[1])\n")
        ids = [device["id"] for device in devices]
        first, second = (
            user.json("run", "--device", beginning(id_, ids), "say.py", word)
            for id_, word in zip(ids, ("first", "second"), strict=True)
        )
        yield Desk(user, devices, first, second)
    finally:
        line.run("down", "--stop-jobs")


def beginning(wanted: str, ids: list[str]) -> str:
    """Return the shortest beginning that no other id shares."""
    lengths = range(1, len(wanted) + 1)
    return next(wanted[:n] for n in lengths if sum(other.startswith(wanted[:n]) for other in ids) == 1)


def test_the_beginning_of_an_id_is_enough(desk: Desk) -> None:
    short = beginning(desk.first["id"], [desk.first["id"], desk.second["id"]])
    assert "I am first" in desk.user.run("logs", short)
    assert desk.user.fail("trace", "export", short)["message"] == f"Run {desk.first['id']} has no trace."
    assert f"{desk.first['id']}: succeeded." in desk.user.run("cancel", short)
    assert [run["device"] for run in (desk.first, desk.second)] == [device["id"] for device in desk.devices]


def test_last_is_the_newest(desk: Desk) -> None:
    assert "I am second" in desk.user.run("logs", "last")


def test_a_beginning_that_several_share_is_answered_with_all_of_them(desk: Desk) -> None:
    error = desk.user.fail("logs", "r")
    assert f"{desk.first['id']} (say.py, succeeded)" in error["message"]
    assert f"{desk.second['id']} (say.py, succeeded)" in error["message"]
    assert error["hint"] == "Write more of the id."
    error = desk.user.fail("run", "--device", "d", "say.py", "third")
    assert all(f"{device['id']} ({device['info']['name']})" in error["message"] for device in desk.devices)


def test_a_name_goes_before_the_beginning_of_an_id(desk: Desk) -> None:
    assert desk.user.json("run", "--device", "phone-2", "say.py", "x")["device"] == desk.devices[1]["id"]


@pytest.mark.parametrize(
    "arguments", [("logs", "r0/../x"), ("cancel", "nobody"), ("logs", ""), ("trace", "export", "x")]
)
def test_what_names_nothing_is_said_to(desk: Desk, arguments: tuple[str, ...]) -> None:
    error = desk.user.fail(*arguments)
    assert error["code"] == "not-found"
    assert "edgeloop runs" in error["hint"]


def test_in_a_workspace_where_nothing_ran_there_is_no_last(desk: Desk) -> None:
    desk.user.run("init", "other", "--template", "empty")
    error = desk.user.within(desk.user.folder / "other").fail("logs", "last")
    assert error["message"] == "There is no job and no run in this workspace yet."


def test_outside_of_a_workspace_a_list_names_its_option_for_all(desk: Desk, tmp_path: Path) -> None:
    outside = desk.user.within(tmp_path)
    assert "`edgeloop runs --all` shows those of all workspaces" in outside.fail("runs")["hint"]
    assert "--all" not in outside.fail("train")["hint"]
    assert {run["id"] for run in outside.json("runs", "--all")} >= {desk.first["id"], desk.second["id"]}
