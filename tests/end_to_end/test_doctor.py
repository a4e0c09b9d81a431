"""`edgeloop doctor` as users and editors call it: with a daemon, without one, and with something really wrong."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from end_to_end.command_line import COMMAND, CommandLine

from edgeloop_daemon.doctor.checks import CHECKS


def marks(found: dict[str, Any]) -> dict[str, str]:
    return {item["check"]: item["mark"] for item in found["items"]}


def test_all_is_well_with_a_running_daemon_and_a_linked_device(user: CommandLine, device: dict[str, Any]) -> None:
    found = user.json("doctor")
    assert list(marks(found)) == [check.id for check in CHECKS]
    assert "problem" not in marks(found).values(), found
    by_check = {item["check"]: item["found"] for item in found["items"]}
    assert "pocket is linked" in by_check["devices"]
    assert by_check["daemon"].startswith("process ")


def test_the_api_answers_what_the_command_prints(user: CommandLine, device: dict[str, Any]) -> None:
    runtime = json.loads((user.home / "runtime.json").read_text())
    address = f"http://127.0.0.1:{runtime['port']}/api/v1/doctor"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {runtime['token']}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        found = json.load(response)
    assert marks(found) == marks(user.json("doctor"))


def test_without_a_daemon_it_looks_and_starts_none(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "home", tmp_path)
    text = line.run("doctor")
    assert "not running; commands start it when they need it" in text
    assert text.splitlines()[-1].startswith(f"{len(CHECKS)} checks: no problems")
    assert all(len(text_line) <= 80 or str(tmp_path) in text_line for text_line in text.splitlines())
    assert not line.home.exists()


def test_a_problem_is_told_with_its_remedy_and_exit_status_1(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "home", tmp_path)
    line.home.mkdir(mode=0o755)
    done = line.call("doctor")
    assert done.returncode == 1
    assert f"> chmod 700 {line.home}" in " ".join(done.stdout.split())
    assert "1 problem, " in done.stdout
    assert "\x1b" not in done.stdout, "no colours on a pipe"
    done = line.call("doctor", "--json")
    assert done.returncode == 1
    assert marks(json.loads(done.stdout))["state-folder"] == "problem"


def test_a_daemon_that_hangs_is_a_problem_not_a_wait(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "home", tmp_path)
    line.home.mkdir(mode=0o700)
    (line.home / "runtime.json").write_text('{"pid": 1, "port')
    holder = (
        "import sys, time; from pathlib import Path; from edgeloop_shared import process_lock\n"
        f"with process_lock.held(Path({str(line.home / 'daemon.lock')!r})):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    python = str(COMMAND.with_name("python"))
    with subprocess.Popen([python, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        done = line.call("doctor", "--json")
        process.kill()
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (marks(found)["daemon"], marks(found)["state-files"]) == ("problem", "problem")


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    def shown(variables: dict[str, str]) -> bytes:
        control, terminal = pty.openpty()
        environment = {**os.environ, "EDGELOOP_HOME": str(tmp_path / "home"), "COLUMNS": "80", "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        with subprocess.Popen(
            [COMMAND, "jobs"], cwd=tmp_path, stdout=terminal, stderr=terminal, env={**environment, **variables}
        ):
            os.close(terminal)
            text = b""
            try:
                while piece := os.read(control, 65536):
                    text += piece
            except OSError:  # how Linux says that the other side is closed
                pass
        os.close(control)
        return text

    assert b"\x1b[31m" in shown({})
    plain = shown({"NO_COLOR": "1"})
    assert b"Error:" in plain
    assert b"\x1b" not in plain
