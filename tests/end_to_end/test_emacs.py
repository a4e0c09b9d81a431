"""Debian's Emacs with its dap-mode debugs a task on a virtual device: `make test-editors`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine
from end_to_end.editor import TASK

from edgeloop_daemon.cli.editor_configurations import configuration_of

pytestmark = [pytest.mark.editors, pytest.mark.timeout(300)]


def test_emacs_sets_a_breakpoint_hits_it_looks_steps_and_goes_on(
    workspace: CommandLine, device: dict[str, Any], tmp_path: Path
) -> None:
    emacs = shutil.which("emacs")
    assert emacs is not None, "make test-editors installs it"
    script = workspace.folder / "task.py"
    script.write_text(TASK)
    configuration = tmp_path / "configuration.el"
    configuration.write_text(configuration_of("emacs"))
    home = tmp_path / "home"
    home.mkdir()

    driver = Path(__file__).with_name("emacs_session.el")
    begin = f'(debug-session "{script}" 5)'
    done = subprocess.run(
        [emacs, "-Q", "--batch", "-l", str(driver), "-l", str(configuration), "--eval", begin],
        cwd=workspace.folder,
        env={
            "PATH": f"{workspace.command.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "EDGELOOP_HOME": str(workspace.home),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "stopped in scale at 5",
        "factor = 2",
        "image = float32 [3, 4], 1 NaN, min 0, max 11, mean 5.545, std 3.602",
        "evaluated 42",
        "stopped in scale at 6",
        "stopped in <module> at 11",
        "terminated",
    ]
