"""How the daemon starts the supervisor of a job, and has it end the job. What a supervisor does is in `jobs.supervisor`."""

from __future__ import annotations

import signal
import subprocess
import sys

from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_shared import process_lock
from edgeloop_shared.errors import JobFailedError

START_SECONDS = 30.0


def start_supervisor(folder: JobFolder) -> None:
    """Start the supervisor of a job and return once it holds the job's lock. Raises `JobFailedError`."""
    command = [sys.executable, "-P", "-m", "edgeloop_daemon.jobs.supervisor", str(folder.root)]
    try:
        with folder.log.open("ab") as log:
            # What is started here ends at once; the supervisor itself is its child, in the same new session.
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=True,
                timeout=START_SECONDS,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise JobFailedError(
            f"The job could not be started: {error}.",
            hint="The job's log says more, if there is one: `edgeloop logs ID`.",
            details={"native_output": folder.last_lines() if folder.log.exists() else []},
        ) from None


def ask_for_end(folder: JobFolder) -> None:
    """Have a job cancelled, also one whose supervisor is only beginning."""
    # First the file, then the signal: a supervisor that holds the lock already is told, any other one looks for the file.
    folder.cancel.touch(mode=0o600)
    process_lock.signal_holder(folder.lock, signal.SIGTERM)
