"""The supervisor of one job: `python -m edgeloop_daemon.jobs.supervisor FOLDER`.

It outlives the daemon, holds the job's lock, starts the job process in a process group of its own and records how that
ended. SIGTERM cancels the job: SIGTERM to the group, and SIGKILL if that is not enough. It imports little, because one of
these processes stands beside every running job.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_shared import process_lock
from edgeloop_shared.bounded_log import BoundedLog, LogPipe
from edgeloop_shared.detachment import leave_parent
from edgeloop_shared.errors import JobFailedError
from edgeloop_shared.signals import signal_name

GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL


class JobProcess:
    """The job process and its group, from here on until it has ended."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.is_cancelled = False
        signal.signal(signal.SIGTERM, self._cancel)
        signal.signal(signal.SIGALRM, self._kill)

    def run(self) -> int:
        """Run the job process to its end, with all that it has started, and return its exit status."""
        # -P: the job stands in the workspace, whose files must not be taken for modules of the standard library.
        command = [sys.executable, "-P", "-m", "edgeloop_daemon.jobs.process", str(self._folder.root)]
        pipe = LogPipe(BoundedLog(self._folder.log))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe.writing,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            process_group=0,
        )
        pipe.start()
        if self.is_cancelled:  # the signal came before there was anything to send it to
            self._cancel()
        status = self._process.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._kill()  # what the handler left behind; the group's number stays taken as long as a member lives
        pipe.finish()
        return status

    def _cancel(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.is_cancelled = True
        self._signal_group(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _kill(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
                os.killpg(self._process.pid, number)


def supervise(folder: JobFolder, report_begin: Callable[[], object]) -> None:
    """Hold the job's lock, run the job and record how it ended; `report_begin` is called once the lock is held."""
    process = JobProcess(folder)
    with process_lock.held(folder.lock) as is_mine:
        report_begin()
        if not is_mine or folder.group.exists() or folder.status.exists():
            return  # a supervisor that another daemon started has this job, or had it
        if folder.cancel.exists():  # asked for before there was anybody to signal
            folder.write_status("cancelled", time.time())
            return
        status = process.run()
        outcome = _outcome(folder)
        if "result" in outcome:
            folder.write_status("succeeded", time.time(), result=outcome["result"])
        elif process.is_cancelled:
            folder.write_status("cancelled", time.time())
        else:
            error = outcome.get("error") or _died(folder, status).as_dict()
            folder.write_status("failed", time.time(), error=error)


def _outcome(folder: JobFolder) -> dict[str, Any]:
    try:
        record = json.loads(folder.outcome.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _died(folder: JobFolder, status: int) -> JobFailedError:
    """Return the error of a job process that ended without an outcome."""
    lines = folder.last_lines()
    if status >= 0:
        return JobFailedError(
            f"The job's process ended with exit status {status} before its work was done.",
            hint="Its log says more: `edgeloop logs ID`.",
            details={"exit_code": status, "native_output": lines},
        )
    name = signal_name(-status)
    hints = {
        "SIGKILL": "The system may have run out of memory, or somebody ended the process.",
        "SIGTERM": "Somebody ended the process; edgeloop did not.",
    }
    return JobFailedError(
        f"The job's process was ended by {name}.",
        hint=hints.get(name, "Native code crashed; the last lines of its log may say where."),
        details={"signal": name, "native_output": lines},
    )


def main() -> None:
    """Leave the daemon, supervise the job in the folder that the first argument names, and end."""
    # The process that the daemon started ends as soon as the lock is held: nobody has to collect the supervisor later,
    # and from then on the lock alone tells whether it lives.
    supervise(JobFolder(Path(sys.argv[1]).absolute()), leave_parent())


if __name__ == "__main__":
    main()
