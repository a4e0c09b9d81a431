"""Tasks that go wrong on a device, and devices that go away: what the user is told."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

from edgeloop_shared.pairing import parse_offer


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any]) -> CommandLine:
    """The workspace, with a device linked."""
    return workspace


def write(project: CommandLine, name: str, text: str) -> None:
    (project.folder / name).write_text(text)


def test_an_exception_names_the_users_file_and_line(project: CommandLine) -> None:
    write(project, "raises.py", "def halve(x):\n    return x / 0\n\n\nhalve(3)\n")
    error = project.fail("run", "raises.py")
    assert error["code"] == "task-failed"
    assert "ZeroDivisionError" in error["message"]
    assert (error["details"]["file"], error["details"]["line"]) == ("raises.py", 2)
    assert "halve(3)" in error["details"]["traceback"]
    assert "edgeloop_companion" not in error["details"]["traceback"]
    printed = project.call("run", "raises.py").stderr
    assert printed.count("Traceback") == 1  # the script's own, in its output
    assert "Error: ZeroDivisionError" in printed


def test_a_syntax_error_names_its_line(project: CommandLine) -> None:
    write(project, "broken.py", "x = 1\nif x\n    pass\n")
    error = project.fail("run", "broken.py")
    assert error["code"] == "task-failed"
    assert (error["details"]["file"], error["details"]["line"]) == ("broken.py", 2)


def test_a_native_crash_is_reported_with_its_signal_and_the_device_lives_on(project: CommandLine) -> None:
    write(project, "crash.py", "import ctypes\nprint('before', flush=True)\nctypes.string_at(0)\n")
    error = project.fail("run", "crash.py")
    assert error["code"] == "task-crashed"
    assert "SIGSEGV" in error["message"]
    write(project, "fine.py", "print('still here')\n")
    assert "still here" in project.run("run", "fine.py")


def test_a_task_that_asks_for_a_file_that_was_not_sent_is_told_how_to_send_it(project: CommandLine) -> None:
    write(project, "labels.tsv", "a\tb\n")
    write(project, "needs_labels.py", "open('labels.tsv')\n")
    error = project.fail("run", "needs_labels.py")
    assert "include" in error["hint"]
    assert project.run("run", "--include", "labels.tsv", "needs_labels.py") == ""


def test_a_terminal_has_a_bar_of_how_far_the_script_is(project: CommandLine, tmp_path: Path) -> None:
    write(
        project,
        "far.py",
        "import edgeloop_task, pathlib, sys, time\n"
        "edgeloop_task.report_progress(3, 10, 'resizing')\n"
        "while not pathlib.Path(sys.argv[1]).exists():\n"
        "    time.sleep(0.01)\n",
    )
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(control, "rb", buffering=0) as shown:
        running = project.start("run", "far.py", str(tmp_path / "go"), errors=terminal)
        os.close(terminal)
        text = b""
        while b"run [######              ]  30% 3 of 10 resizing" not in text:
            text += shown.read(4096)
        (listed,) = (run for run in project.json("runs") if run["state"] == "running")
        assert listed["progress"] == {"done": 3.0, "total": 10.0, "text": "resizing"}
        assert "running, 30%" in project.run("runs")
        (tmp_path / "go").touch()
        assert running.wait(60) == 0
    assert "30%" not in project.run("runs")


def test_a_cancelled_run_ends(project: CommandLine) -> None:
    write(project, "endless.py", "print('begun', flush=True)\nwhile True:\n    pass\n")
    run = project.json("run", "--detach", "endless.py")
    project.run("cancel", run["id"])
    assert project.call("logs", "-f", run["id"]).returncode == 0
    listed = {item["id"]: item["state"] for item in project.json("runs")}
    assert listed[run["id"]] == "cancelled"


def test_a_script_outside_of_the_workspace_is_refused(project: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("print(1)\n")
    error = project.fail("run", str(tmp_path / "outside.py"))
    assert "outside.py" in error["message"]


def test_a_device_that_is_linked_is_seen_now(project: CommandLine) -> None:
    (linked,) = (line.split() for line in project.run("devices").splitlines()[1:])
    assert linked[2:] == ["linked", "linux", "now"]


def test_an_unknown_device_is_named(project: CommandLine) -> None:
    write(project, "fine.py", "print('still here')\n")
    assert "nowhere" in project.fail("run", "--device", "nowhere", "fine.py")["message"]


def test_files_come_back_under_their_own_names(project: CommandLine, tmp_path: Path) -> None:
    script = """
import pathlib
import edgeloop_task
for name in ("a/plot.txt", "b/plot.txt", "odd #1 ?ü%20.txt"):
    path = pathlib.Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(name)
    edgeloop_task.report_file(path, name)
"""
    write(project, "files.py", script)
    project.run("run", "--output", str(tmp_path), "files.py")
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.txt")}
    assert found == {name: name for name in ("a/plot.txt", "b/plot.txt", "odd #1 ?ü%20.txt")}


def test_the_same_script_runs_with_plain_python_and_on_the_device(project: CommandLine) -> None:
    write(project, "metric.py", "import edgeloop_task\nedgeloop_task.report_result(answer=42)\n")
    here = subprocess.run([sys.executable, "metric.py"], cwd=project.folder, capture_output=True, text=True, check=True)
    assert here.stdout.strip() == '{"answer": 42}'
    assert project.json("run", "metric.py")["result"] == {"answer": 42}


def test_a_code_that_only_this_computer_could_use_says_so(user: CommandLine) -> None:
    showing = user.start("pair", errors=subprocess.PIPE)
    assert showing.stderr is not None
    try:
        assert showing.stderr.readline() == (
            b"Only this computer reaches that address. Connect it to the phone's network and pair again.\n"
        )
    finally:
        showing.send_signal(signal.SIGINT)
        showing.communicate(timeout=60)


def test_a_program_is_told_the_code_at_once_and_that_a_newer_one_has_taken_its_place(user: CommandLine) -> None:
    showing = user.start("pair", "--json", output=subprocess.PIPE)
    assert showing.stdout is not None
    window = json.loads(showing.stdout.readline())
    assert parse_offer(window["offer"]).port == window["port"]
    newer = user.start("pair", "--json", output=subprocess.PIPE)
    try:
        assert newer.stdout is not None
        newer_window = json.loads(newer.stdout.readline())
        assert newer_window["state"] == "open"
        assert newer_window["code"] != window["code"]
        output, _ = showing.communicate(timeout=60)
        assert json.loads(output)["error"]["code"] == "no-window"
        assert b"a newer code is shown" in output
    finally:
        newer.send_signal(signal.SIGINT)
        newer.communicate(timeout=60)
