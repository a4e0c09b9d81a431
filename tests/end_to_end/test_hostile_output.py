"""Scripts that try to speak to the terminal: what the command line prints is text and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

HOSTILE = (
    "red \x1b[31m clear \x1b[2J title \x1b]0;x\x07 c1 \x9b2J back \x08 nul \x00 turn \u202e end \u2066 arabic \u061c"
)
UNSEEN = set("\x1b\x9b\x07\x08\x00\u202e\u2066\u061c")


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any]) -> CommandLine:
    (workspace.folder / "shout.py").write_text(
        f"import edgeloop_task, sys\nprint({HOSTILE!r})\nprint({HOSTILE!r}, file=sys.stderr)\n"
        f"edgeloop_task.report_result(text={HOSTILE!r})\n"
    )
    (workspace.folder / "fall.py").write_text(f"raise RuntimeError({HOSTILE!r})\n")
    return workspace


def test_what_a_script_prints_cannot_steer_the_terminal(project: CommandLine) -> None:
    done = project.call("run", "shout.py")
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout
    assert "arabic" in done.stderr
    assert not UNSEEN & set(done.stdout + done.stderr)


def test_what_a_script_raises_cannot_steer_the_terminal(project: CommandLine) -> None:
    done = project.call("run", "fall.py")
    assert done.returncode == 1
    assert "arabic" in done.stderr
    assert not UNSEEN & set(done.stdout + done.stderr)


def test_json_keeps_what_a_script_says_and_escapes_it(project: CommandLine) -> None:
    text = project.run("run", "--json", "shout.py")
    assert not UNSEEN & set(text)
    assert json.loads(text)["result"] == {"text": HOSTILE}
    assert "arabic" in project.fail("run", "fall.py")["message"]


def test_logs_cannot_steer_the_terminal(project: CommandLine) -> None:
    run = project.json("run", "shout.py")
    for arguments in (("logs", run["id"]), ("logs", "--json", run["id"]), ("runs",)):
        assert not UNSEEN & set(project.run(*arguments))
