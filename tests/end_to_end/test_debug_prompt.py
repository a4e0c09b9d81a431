"""A person debugs in a terminal, without an editor: a pseudo-terminal, `edgeloop debug`, and all behind it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

PROMPT = "(edgeloop) "
TASK = """\
import json


def double(x):
    return x * 2


print("before", json.dumps([4]))
total = double(4)
print("total", total)
"""


ENDLESS = "import time\ni = 0\nwhile i >= 0:\n    i += 1\n    time.sleep(0.01)\nprint('over')\n"


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, user: CommandLine, *arguments: str) -> None:
        self._end, inside = pty.openpty()
        self.process = subprocess.Popen(
            [str(user.command), *arguments],
            cwd=user.folder,
            env={**os.environ, **user.variables, "EDGELOOP_HOME": str(user.home), "COLUMNS": "80"},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)

    def prompt(self) -> str:
        """Return what is printed until the next prompt."""
        return self._read(PROMPT)

    def type(self, line: str) -> str:
        """Type a line and return what is printed until the next prompt."""
        os.write(self._end, f"{line}\n".encode())
        return self.prompt()

    def finish(self, line: str) -> str:
        """Type a line after which the command ends, and return the rest."""
        os.write(self._end, f"{line}\n".encode())
        return self._read(None)

    def close(self) -> None:
        """End the command."""
        os.close(self._end)
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def _read(self, until: str | None) -> str:
        text = ""
        while until is None or not text.endswith(until):
            try:
                data = os.read(self._end, 4096)
            except OSError:  # Linux says so when the other side is closed
                data = b""
            if not data:
                assert until is None, f"it ended: {text}"
                break
            text += data.decode()
        return text


@pytest.fixture
def terminal(workspace: CommandLine, device: dict[str, Any]) -> Iterator[Terminal]:
    """A terminal in which a script has stopped in `double`."""
    (workspace.folder / "double.py").write_text(TASK)
    workspace.json("break", "add", "double.py:5")
    begun = Terminal(workspace, "debug", "double.py")
    yield begun
    begun.close()
    workspace.json("break", "remove", "--all")


def test_values_are_looked_at_and_changed_before_the_script_goes_on(terminal: Terminal) -> None:
    said = terminal.prompt()
    assert "Paused at double.py:5 in double" in said
    assert said.index("before [4]") < said.index("Paused at")  # as it happened
    assert "debugger" not in said  # that one should be attached is for runs that wait for somebody else's
    assert "8" in terminal.type("x * 2").splitlines()
    terminal.type("x = 50")
    assert "looking" in terminal.type("print('looking')").splitlines()
    assert "called by <module> at double.py:9" in terminal.type("where")
    outside = terminal.type("out")
    assert "double.py:9" in outside
    assert "json = " not in outside  # that a module was imported is nothing to look at
    rest = terminal.finish("c")

    assert "total 100" in rest
    assert terminal.process.wait() == 0


def test_what_is_wrong_in_a_typed_line_is_one_line_and_the_script_stays(terminal: Terminal) -> None:
    terminal.prompt()
    said = terminal.type("missing")

    assert "NameError: name 'missing' is not defined" in said.splitlines()
    assert "Traceback" not in said
    assert "q, quit" in terminal.type("h")
    terminal.finish("q")
    assert terminal.process.wait() != 0


def test_letting_go_of_the_script_lets_it_run_to_its_end(terminal: Terminal, workspace: CommandLine) -> None:
    terminal.prompt()
    assert "paused at double.py:5" in workspace.run("runs").splitlines()[1]
    run = workspace.wait_for_run("running")["id"]
    terminal.finish("detach")

    assert workspace.api(f"/runs/{run}?wait=30")["state"] == "succeeded"


def test_a_run_that_is_at_work_is_stopped_and_looked_into(workspace: CommandLine, device: dict[str, Any]) -> None:
    (workspace.folder / "endless.py").write_text(ENDLESS)
    workspace.json("run", "--detach", "endless.py")
    run = workspace.wait_for_run("running")["id"]
    workspace.json("break", "add", "endless.py:4")
    terminal = Terminal(workspace, "debug", "--attach", run)
    try:
        assert "Paused at endless.py:4" in terminal.prompt()
        terminal.type("i = -5")
        workspace.json("break", "remove", "--all")
        rest = terminal.finish("continue")
    finally:
        terminal.close()

    assert "over" in rest
    assert workspace.api(f"/runs/{run}?wait=30")["state"] == "succeeded"


def test_a_run_that_has_ended_is_nothing_to_debug(workspace: CommandLine, device: dict[str, Any]) -> None:
    (workspace.folder / "double.py").write_text(TASK)
    workspace.run("run", "double.py")
    run = workspace.json("runs", "--limit", "1")[0]["id"]

    error = workspace.fail("debug", "--attach", run)

    assert error["message"] == "There is nothing to debug. The run succeeded."
    assert "edgeloop runs" in error["hint"]
