"""The list of commands, of which only the one that is called is imported, and what `--help` may import at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeloop_daemon.cli.command_list import BUILT_IN, Listed
from edgeloop_daemon.plugins import installed_plugins, load_plugins
from edgeloop_shared import process_lock

HEAVY = {"aiohttp", "pydantic", "cryptography", "segno", "numpy", "sqlite3", "pluggy", "asyncio", "ssl"}
MODULES = (
    "import sys; from edgeloop_daemon.cli.main import command_line; "
    "command_line.main({!r}, prog_name='edgeloop', standalone_mode=False); "
    "print(*sys.modules, file=sys.stderr)"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    load_plugins(installed_plugins()).write_declarations(folder / "declarations.json")
    return folder


def call(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "EDGELOOP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )


GROUPS = [command for listed in BUILT_IN.values() if isinstance(command := listed.load(), click.Group)]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_help_of_a_group_cuts_no_summary_short(group: click.Group) -> None:
    said = " ".join(group.get_help(click.Context(group, terminal_width=80)).split())
    assert group.commands
    for name, command in group.commands.items():
        assert f"{name} {command.get_short_help_str(200)}" in said


@pytest.mark.parametrize("listed", BUILT_IN.values(), ids=BUILT_IN)
def test_a_listed_command_is_there_and_says_of_itself_what_the_list_says(listed: Listed) -> None:
    command = listed.load()
    assert (command.name, command.get_short_help_str(200)) == (listed.name, listed.summary)
    if listed.name in ("dap", "companion"):  # the one speaks a protocol of its own, the other opens a window
        return
    assert isinstance(command, click.Group) or "--json" in [name for one in command.params for name in one.opts]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["quantize", "--help"], ["devices", "--help"]])
def test_help_imports_nothing_that_is_slow_to_start(home: Path, arguments: list[str]) -> None:
    done = call(home, "-c", MODULES.format(arguments))
    assert done.stdout.startswith("Usage: edgeloop")
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert "click" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("quantise", "quantize"), ("device-s", "devices"), ("statsu", "status")]
)
def test_a_command_that_does_not_exist_brings_the_nearest_ones_to_mind(home: Path, typed: str, meant: str) -> None:
    done = call(home, "-m", "edgeloop_daemon.cli", typed)
    assert done.returncode == 2
    assert f"There is no command {typed!r}. Did you mean {meant}" in done.stderr


def test_a_wrong_line_is_one_json_value_as_well_where_that_is_asked_for(home: Path) -> None:
    done = call(home, "-m", "edgeloop_daemon.cli", "statsu", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "invalid-input"
    assert "Did you mean status" in error["message"]


def test_a_runtime_file_that_is_no_runtime_file_sends_to_the_doctor(tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_text('{"pid": 1, "port')
    with process_lock.held(tmp_path / "daemon.lock"):
        done = call(tmp_path, "-m", "edgeloop_daemon.cli", "status")
    assert done.returncode == 1
    assert "edgeloop doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_like_nothing_else_is_simply_refused(home: Path) -> None:
    done = call(home, "-m", "edgeloop_daemon.cli", "zzzzzz")
    assert done.returncode == 2
    assert "There is no command 'zzzzzz'." in done.stderr
    assert "Did you mean" not in done.stderr
