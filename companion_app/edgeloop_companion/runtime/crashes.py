"""What is known of a worker that ended without a word of its script's failure."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from edgeloop_companion.runtime.guardian import DISK_FULL, FULL_DISK_SECONDS, VANISHED
from edgeloop_companion.runtime.memory import MIB, how_to_raise
from edgeloop_companion.runtime.run_folder import WorkerEnd
from edgeloop_shared.errors import DeviceVanishedError, EdgeloopError, TaskCrashedError
from edgeloop_shared.signals import signal_name

NEAR_LIMIT = 0.75  # of the memory limit: a process that held as much has probably met it

_FRAME = re.compile(r'\s*File "(.+)", line ([0-9]+) in ')


def describe_end(end: WorkerEnd | None, folder: Path, memory_limit: int | None) -> EdgeloopError | None:
    """Return the error for how a worker ended (None: nobody could say); None for a good end.

    `folder` is the real path of the task's files.
    """
    if end is None:
        return TaskCrashedError(
            "The task's process vanished without a word.",
            hint="The device may have been restarted, or have run out of memory.",
        )
    if end.reason == VANISHED:
        return DeviceVanishedError(
            "The edgeloop app on the device was gone, so the task that it ran was ended.",
            hint="Start the app again, then run again.",
        )
    if end.reason == DISK_FULL:
        return EdgeloopError(
            f"The device's disk is full: the task could not go on for {FULL_DISK_SECONDS:.0f} s, so it was ended.",
            hint="Free some space on the device and run again.",
        )
    return None if end.code == 0 else _describe_crash(end, folder, memory_limit)


def _describe_crash(end: WorkerEnd, folder: Path, memory_limit: int | None) -> TaskCrashedError:
    code, last_lines = end.code, end.last_lines  # Python's fault handler names in them where the script was
    details: dict[str, object] = {"native_output": list(last_lines)}
    where = ""
    for line in last_lines:
        frame = _FRAME.match(line)
        if frame and not where and Path(frame[1]).is_relative_to(folder):
            file = Path(frame[1]).relative_to(folder).as_posix()
            details |= {"file": file, "line": int(frame[2])}
            where = f" ({file}, line {frame[2]})"
    if code < 0:
        details["signal"] = signal_name(-code)
        how = f"was ended by {details['signal']}"
    else:
        details["exit_code"] = code
        how = f"ended by itself with exit code {code}"
    hint = "Its last lines are in the run's log. A native library such as MNN can crash on a broken model or a wrong shape."
    if code == -signal.SIGKILL:
        hint = "SIGKILL usually means that the device ran out of memory: try a smaller model or fewer threads."
    if memory_limit is not None and (
        end.peak_bytes > NEAR_LIMIT * memory_limit or any("bad_alloc" in line for line in last_lines)
    ):
        how += f" at its memory limit of {memory_limit // MIB} MiB"
        hint = how_to_raise(memory_limit)
        details["memory_limit_bytes"] = memory_limit
    return TaskCrashedError(f"The task's process {how}{where}.", hint=hint, details=details)
