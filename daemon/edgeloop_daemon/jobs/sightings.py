"""What the daemon sees in the folder of a job that runs: progress, new metrics, the log's size, and how it ended."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeloop_daemon.jobs.job import JobState, Metric, Progress
from edgeloop_daemon.jobs.job_folder import MAX_OUTCOME_BYTES, JobFolder
from edgeloop_shared import process_lock
from edgeloop_shared.codec import decode_json, parse_json
from edgeloop_shared.errors import JobFailedError, MessageError

_log = logging.getLogger(__name__)
_MAX_LINE = 4096
_MAX_METRICS_BYTES = 1024 * 1024  # per look


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    state: Literal["succeeded", "failed", "cancelled"]
    result: Any
    error: Mapping[str, Any] | None
    ended_at: float


@dataclass(frozen=True)
class Sighting:
    """One look at a job. `metrics` are those from the asked offset on; `metrics_offset` is where the next look begins."""

    job: str
    progress: Progress | None
    metrics: tuple[Metric, ...]
    metrics_offset: int
    log_size: int
    end: JobEnd | None


def look_at(job: str, folder: JobFolder, metrics_offset: int) -> Sighting:
    """Look at a job whose supervisor has begun. A job whose supervisor died is ended here, and its processes with it."""
    if not folder.root.is_dir():
        return Sighting(job, None, (), metrics_offset, 0, _lost(f"The job's folder {folder.root} is gone."))
    if not process_lock.is_held(folder.lock):
        _settle(folder)
    # The end first: whatever was reported before it is then seen by this look as well.
    end = _read_end(folder)
    metrics, metrics_offset, is_all = _read_metrics(folder, metrics_offset)
    log_size = folder.log.stat().st_size if folder.log.exists() else 0
    return Sighting(job, _read_progress(folder), metrics, metrics_offset, log_size, end if is_all else None)


def _settle(folder: JobFolder) -> None:
    """Record that a job without a supervisor has failed, unless it had ended before."""
    with process_lock.held(folder.lock) as is_mine:
        if not is_mine or folder.status.exists():
            return
        process_lock.signal_holder(folder.group, signal.SIGKILL, group=True)
        lost = _lost("The process that watched over the job was ended from outside, so the job was ended too.")
        folder.write_status(lost.state, lost.ended_at, error=lost.error)


def _lost(message: str) -> JobEnd:
    error = JobFailedError(message, hint="Start the job again; the system's log may say what ended it.")
    return JobEnd("failed", None, error.as_dict(), time.time())


def _read_end(folder: JobFolder) -> JobEnd | None:
    try:
        end = JobEnd(**parse_json(folder.status.read_bytes(), max_bytes=MAX_OUTCOME_BYTES))
        JobState(end.state)
    except FileNotFoundError:
        return None
    except (MessageError, TypeError, ValueError) as error:
        return _lost(f"How the job ended cannot be read: {error}")
    return end


def _read_progress(folder: JobFolder) -> Progress | None:
    try:
        return decode_json(Progress, folder.progress.read_bytes(), max_bytes=_MAX_LINE)
    except (FileNotFoundError, MessageError):  # the next report replaces what cannot be read
        return None


def _read_metrics(folder: JobFolder, offset: int) -> tuple[tuple[Metric, ...], int, bool]:
    """Return the points of whole lines from `offset` on, where the next ones begin, and whether these were all."""
    try:
        with folder.metrics.open("rb") as file:
            file.seek(offset)
            data = file.read(_MAX_METRICS_BYTES)
    except FileNotFoundError:
        return (), offset, True
    whole = data[: data.rfind(b"\n") + 1]
    points = []
    for line in whole.splitlines():
        try:
            points.append(decode_json(Metric, line, max_bytes=_MAX_LINE))
        except MessageError as error:
            _log.warning("%s: a line is no metric: %s", folder.metrics, error)
    is_all = not whole or len(data) < _MAX_METRICS_BYTES
    return tuple(points), offset + len(whole), is_all
