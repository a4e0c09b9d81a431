"""What a handler is given in the job process: the implementation of `edgeloop.context.JobContext`."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgeloop.context import DeviceRun
from edgeloop.metrics import check_point
from edgeloop.subprocesses import run_command
from edgeloop_daemon.jobs.device_runs import DeviceRuns
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec

PROGRESS_SECONDS = 0.05
MAX_MESSAGE = 500
MAX_METRICS_BYTES = 64 * 1024**2
"""Of a job's metrics as lines of JSON: some 800,000 points. What comes after that is not kept."""


class ProcessContext:
    """A job's own view, in its own process. Its methods may be called from any thread."""

    def __init__(self, folder: JobFolder, spec: JobSpec, *, max_metrics_bytes: int = MAX_METRICS_BYTES) -> None:
        self._folder = folder
        self._spec = spec
        self._metrics = os.open(folder.metrics, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._metrics_room = max_metrics_bytes
        self._device_runs = DeviceRuns(folder, spec.job, Path(spec.workspace))
        self._lock = threading.Lock()
        self._progress = ""
        self._written_at = -math.inf
        self._is_writing_later = False

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._spec.job

    @property
    def workspace(self) -> Path:
        """The workspace's root folder."""
        return Path(self._spec.workspace)

    @property
    def folder(self) -> Path:
        """The job's own folder."""
        return self._folder.files

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Report how far the work is. At most 20 reports per second are written; the last one always is."""
        if fraction is not None:
            fraction = None if math.isnan(fraction) else min(max(float(fraction), 0.0), 1.0)
        with self._lock:
            self._progress = json.dumps({"fraction": fraction, "message": str(message)[:MAX_MESSAGE]})
            if self._is_writing_later:
                return
            wait = self._written_at + PROGRESS_SECONDS - time.monotonic()
            if wait <= 0:
                self._write_progress()
                return
            self._is_writing_later = True
            timer = threading.Timer(wait, self._write_later)
            timer.daemon = True
            timer.start()

    def log(self, message: str) -> None:
        """Add a line to the job's log."""
        with self._lock:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    def metric(self, tag: str, step: int, value: float) -> None:
        """Record one point of a curve; one that is no finite number is only logged, since no curve can hold it.

        When a job's metrics have reached their limit, the log says so once, and further points are left out.
        Raises `InvalidInputError` for an empty or overlong tag and for a step that is negative or 2**63 and more.
        """
        check_point(tag, step)
        if not math.isfinite(value):
            self.log(f"{tag} at step {step} is {value}")
            return
        point = {"tag": str(tag), "step": int(step), "value": float(value), "time": time.time()}
        line = json.dumps(point).encode() + b"\n"
        with self._lock:
            was_full = self._metrics_room < 0
            if len(line) <= self._metrics_room:
                self._metrics_room -= len(line)
                os.write(self._metrics, line)
                return
            self._metrics_room = -1  # a shorter line that would fit must not follow
        if not was_full:
            self.log(f"[edgeloop: the metrics have reached their limit: from {tag} at step {step} on none are kept]")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        """Run a subprocess whose output goes to the log line by line; return its exit status (negative: minus the signal).

        It stays in the job's process group, so that it ends with the job. Raises `JobFailedError` when it cannot be started.
        """

        def take(line: str) -> None:
            self.log(line)
            if on_line is not None:
                on_line(line)

        return run_command(command, folder=folder or self.workspace, environment=environment, on_line=take)

    def device_path(self, path: Path) -> str:
        """Return where a file of the workspace or of the job's folder lies on a device, relative to the run's folder."""
        return self._device_runs.device_path(path)

    def run_on_device(
        self,
        script: Path,
        arguments: Sequence[str] = (),
        *,
        files: Sequence[Path] = (),
        like: tuple[str, Sequence[str]] | None = None,
        device: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> DeviceRun:
        """Run a script on a device, wait for its end and return what it reported; `edgeloop.JobContext` says more."""
        take = self.log if on_line is None else on_line
        return self._device_runs.run(script, arguments, files=files, like=like, device=device, on_line=take)

    def _write_later(self) -> None:
        with self._lock:
            self._is_writing_later = False
            self._write_progress()

    def _write_progress(self) -> None:
        # Renamed into place, but not synced: a progress need not survive a power cut.
        temporary = self._folder.progress.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(self._progress)
        temporary.replace(self._folder.progress)
        self._written_at = time.monotonic()
