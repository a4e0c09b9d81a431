"""Subprocesses of a job, whose output is its log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgeloop_shared.errors import JobFailedError

_LINE_CHARACTERS = 64 * 1024
_END_SECONDS = 3.0


def run_command(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None,
    on_line: Callable[[str], None],
) -> int:
    """Run `command` in `folder`, give every line of its output to `on_line`, and return its exit status.

    A status below 0 is minus the signal. The process stays in the group of its caller. Raises `JobFailedError` when it cannot
    be started.
    """
    try:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise JobFailedError(
            f"The command {command[0]!r} cannot be started: {error.strerror or error}.",
            hint="Check that it is installed and spelled right.",
            details={"command": list(command)},
        ) from None
    with process:
        try:
            assert process.stdout is not None
            while line := process.stdout.readline(_LINE_CHARACTERS):
                on_line(line.removesuffix("\n"))
            return process.wait()
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
