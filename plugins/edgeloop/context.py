"""What a handler that runs in a job process is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class JobContext(Protocol):
    """A job's own view: where it works, and how it reports.

    A cancelled job gets SIGTERM as a whole process group; a handler needs no code for that.
    """

    @property
    def job_id(self) -> str:
        """The job's id, unique on this computer."""

    @property
    def workspace(self) -> Path:
        """The workspace's root folder, absolute."""

    @property
    def folder(self) -> Path:
        """The job's own folder for files that nobody else needs; it outlives the job."""

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Report how far the work is: `fraction` in 0..1, or None where nobody can know."""

    def log(self, message: str) -> None:
        """Add a line to the job's log."""

    def metric(self, tag: str, step: int, value: float) -> None:
        """Record one point of a curve."""

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        """Run a subprocess whose output goes to the log line by line; return its exit status (negative: minus the signal).

        `environment` is added to the present one. `on_line` sees every line as well.
        """
