"""A device for the tests of plugins that is none: scripts run in a process here, in a folder laid out as a device's."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeloop.context import DeviceRun
from edgeloop.subprocesses import run_command
from edgeloop_shared.errors import InvalidInputError, TaskFailedError

JOB_FOLDER = ".edgeloop/job"
REPORTED = "edgeloop-output"  # where `edgeloop_task` leaves files of a script that runs without a device


def device_path(path: Path, workspace: Path, folder: Path) -> str:
    """Return where a file lies on a device. Raises `InvalidInputError` for one outside of `workspace` and the job's `folder`."""
    absolute = (workspace / path).resolve()
    if absolute.is_relative_to(folder.resolve()):
        return f"{JOB_FOLDER}/{absolute.relative_to(folder.resolve()).as_posix()}"
    if absolute.is_relative_to(workspace.resolve()):
        return absolute.relative_to(workspace.resolve()).as_posix()
    raise InvalidInputError(f"{path} is neither in the workspace nor in the job's folder.")


def run_here(
    script: Path,
    arguments: Sequence[str],
    files: Sequence[Path],
    *,
    workspace: Path,
    folder: Path,
    place: Path,
    on_line: Callable[[str], None],
) -> DeviceRun:
    """Run a script with its files in the new folder `place`. Raises `TaskFailedError` when it fails."""
    for path in dict.fromkeys((script, *files)):
        target = place / device_path(path, workspace, folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(workspace / path, target)
    sent = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        on_line(line)

    command = [sys.executable, device_path(script, workspace, folder), *arguments]
    status = run_command(command, folder=place, environment=None, on_line=take)
    if status != 0:
        raise TaskFailedError(
            f"{script.name} ended with exit status {status}.",
            hint="The context's lines hold its output.",
            details={"traceback": "\n".join(lines[-20:])},
        )
    reported = place / REPORTED
    found = {path.relative_to(reported).as_posix(): path for path in sorted(reported.rglob("*")) if path.is_file()}
    received = sum(path.stat().st_size for path in found.values())
    return DeviceRun(place.name, "pretended", "pretended device", _result(lines), found, sent, received)


def _result(lines: Sequence[str]) -> dict[str, Any]:
    """Return what the script reported with `report_result`: without a device it is printed as lines of JSON."""
    result: dict[str, Any] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "step" not in record:
            result |= record
    return result
