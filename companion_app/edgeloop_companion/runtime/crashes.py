"""What is known of a worker that died without a word of its script's failure."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from edgeloop_shared.errors import TaskCrashedError

_FRAME = re.compile(r'\s*File "(.+)", line ([0-9]+) in ')


def describe_crash(code: int, last_lines: tuple[str, ...], folder: Path) -> TaskCrashedError | None:
    """Return the error for a worker's exit code (negative: the signal); None for zero.

    `folder` is the real path of the task's files. `last_lines` are the worker's last lines: Python's fault handler names
    there where the script was.
    """
    if code == 0:
        return None
    details: dict[str, object] = {"native_output": list(last_lines)}
    where = ""
    for line in last_lines:
        frame = _FRAME.match(line)
        if frame and not where and Path(frame[1]).is_relative_to(folder):
            file = Path(frame[1]).relative_to(folder).as_posix()
            details |= {"file": file, "line": int(frame[2])}
            where = f" ({file}, line {frame[2]})"
    if code < 0:
        try:
            details["signal"] = signal.Signals(-code).name
        except ValueError:
            details["signal"] = f"signal {-code}"
        how = f"was ended by {details['signal']}"
    else:
        details["exit_code"] = code
        how = f"ended by itself with exit code {code}"
    hint = "Its last lines are in the run's log. A native library such as MNN can crash on a broken model or a wrong shape."
    if code == -signal.SIGKILL:
        hint = "SIGKILL usually means that the device ran out of memory: try a smaller model or fewer threads."
    return TaskCrashedError(f"The task's process {how}{where}.", hint=hint, details=details)
