"""The jobs that are entered as running."""

from __future__ import annotations

import time

from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, Subject, amount, named, ok, warning
from edgeloop_daemon.doctor.stored import running_jobs
from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_shared import process_lock

SILENT_SECONDS = 24 * 3600.0


def check_jobs(subject: Subject, silent_seconds: float = SILENT_SECONDS) -> Finding:
    """Tell which jobs have no process any more, or have said nothing for a day."""
    try:
        jobs = running_jobs(subject.folders.database)
    except NotCheckedError as reason:
        if subject.folders.database.exists():
            raise
        return ok(str(reason))
    folders = {job: JobFolder(subject.folders.jobs / job) for job in jobs}
    alive = [job for job, folder in folders.items() if process_lock.is_held(folder.lock)]
    lost = [job for job, folder in folders.items() if job not in alive and not folder.status.exists()]
    silent = [job for job in alive if _silence(folders[job]) > silent_seconds]
    if lost:
        return warning(
            f"{amount(len(lost), 'job')} without a process: {named(lost)}.",
            "The daemon ends them as failed when it looks: `edgeloop up`, then `edgeloop jobs --all`.",
        )
    if silent:
        return warning(
            f"Running, but silent for more than {silent_seconds / 3600:.0f} h: {named(silent)}.",
            "See `edgeloop logs ID`; `edgeloop cancel ID` ends one.",
        )
    if alive and subject.daemon is None:
        return ok(f"{amount(len(alive), 'job')} at work without a daemon", "`edgeloop up` takes them over again.")
    return ok(f"{len(alive)} at work" if alive else "none is at work")


def _silence(folder: JobFolder) -> float:
    """Return the seconds since a job last wrote to its log or told its progress."""
    times = [path.stat().st_mtime for path in (folder.log, folder.progress) if path.exists()]
    return time.time() - max(times, default=time.time())
