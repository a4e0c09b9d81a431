"""Breakpoints that a workspace keeps, as a user adds, lists and removes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from end_to_end.command_line import CommandLine


@pytest.fixture
def project(workspace: CommandLine) -> Iterator[CommandLine]:
    """The workspace with a script of three lines, and without breakpoints."""
    (workspace.folder / "kept.py").write_text("a = 1\nb = 2\nc = 3\n")
    yield workspace
    workspace.run("break", "remove", "--all")


def test_a_breakpoint_is_listed_until_it_is_removed(project: CommandLine) -> None:
    made = project.json("break", "add", "kept.py:2", "--condition", "a > 0", "--hit", ">= 3", "--log", "b is {b}")

    (listed,) = project.json("break", "list")
    assert listed == made
    assert (listed["kind"], listed["file"], listed["line"]) == ("line", "kept.py", 2)
    assert (listed["condition"], listed["hit_condition"], listed["log_message"]) == ("a > 0", ">= 3", "b is {b}")
    assert listed["verification"] is None

    project.run("break", "remove", "kept.py:2")
    assert project.json("break", "list") == []


def test_a_breakpoint_is_named_from_the_folder_that_the_user_stands_in(project: CommandLine) -> None:
    (project.folder / "inner").mkdir(exist_ok=True)
    (project.folder / "inner" / "deep.py").write_text("x = 1\n")

    made = project.within(project.folder / "inner").json("break", "add", "deep.py:1")

    assert made["file"] == "inner/deep.py"


def test_the_same_place_twice_is_one_breakpoint_with_the_newer_conditions(project: CommandLine) -> None:
    first = project.json("break", "add", "kept.py:1", "--condition", "a")
    second = project.json("break", "add", "kept.py:1", "--hit", "4")

    assert first["id"] == second["id"]
    (listed,) = project.json("break", "list")
    assert (listed["condition"], listed["hit_condition"]) == (None, "4")


def test_all_kinds_stand_in_one_table_of_80_columns(project: CommandLine) -> None:
    project.run("break", "add", "kept.py:3", "--condition", "c > 2")
    project.run("break", "add", "exception:uncaught")
    project.run("break", "add", "op:conv*", "--when", "nan_count > 0")

    text = project.run("break", "list")

    assert max(map(len, text.splitlines())) <= 80
    for part in ("kept.py:3", "c > 2", "exception:uncaught", "op:conv*", "nan_count > 0", "not used yet"):
        assert part in text
    workspace = project.json("break", "list")[0]["workspace"]
    (only,) = project.api(f"/workspaces/{workspace}/breakpoints?kind=operator")["items"]
    assert only["selector"] == "op:conv*"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("kept.py",), "names no place"),
        (("kept.py:99",), "kept.py has 3 lines"),
        (("kept.py:0",), "line"),
        (("missing.py:1",), "There is no file missing.py"),
        (("../outside.py:1",), "outside the workspace"),
        (("kept.py:1", "--condition", "a >"), "is no Python expression"),
        (("kept.py:1", "--hit", "often"), "'often' does not say at which hits to stop"),
        (("exception:sometimes",), "'sometimes' does not say at which exceptions to stop"),
        (("exception:uncaught", "--hit", "3"), "not for a breakpoint of the kind exception"),
        (("op:conv*", "--log", "x"), "not for a breakpoint of the kind operator"),
    ],
)
def test_a_breakpoint_that_cannot_be_is_refused(
    workspace: CommandLine, arguments: tuple[str, ...], expected: str
) -> None:
    (workspace.folder / "kept.py").write_text("a = 1\nb = 2\nc = 3\n")

    assert expected in workspace.fail("break", "add", *arguments)["message"]


def test_a_breakpoint_that_is_not_there_cannot_be_removed(project: CommandLine) -> None:
    assert project.fail("break", "remove", "b0000000000")["code"] == "not-found"
    assert "remove" in project.fail("break", "remove")["message"]
