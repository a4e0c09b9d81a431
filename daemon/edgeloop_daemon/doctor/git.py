"""The Git program, which records what is trained and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from edgeloop_daemon.doctor.finding import Finding, ok, problem

OLDEST = (2, 30)
_SECONDS = 10
_INSTALL = "Install Git 2.30 or newer (Debian and Ubuntu: apt install git; macOS: xcode-select --install)."


def check_git(search_path: str | None = None) -> Finding:
    """Tell whether Git is there, works and is new enough. `search_path` stands for PATH."""
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    program = shutil.which("git", path=path)
    if program is None:
        return problem("Git is not on the PATH.", _INSTALL)
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return problem(f"{program} does not run: {error}.", _INSTALL)
    match = re.search(r"(\d+)\.(\d+)", done.stdout)
    if done.returncode or match is None:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        return problem(f"{program} does not work: {said[0]}", _INSTALL)
    if (int(match[1]), int(match[2])) < OLDEST:
        return problem(f"{done.stdout.strip()} is too old.", _INSTALL)
    return ok(f"{done.stdout.strip().removeprefix('git version ')} at {program}")
