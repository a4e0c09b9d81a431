"""What a handler that runs in a job process is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class DeviceRun:
    """A run on a device that has succeeded.

    `id` is the run's, `device` the id of the device and `device_name` its name; `result` is what the script reported with
    `report_result`, `files` are those of `report_file` by their names, where they lie now. The name and what stands in both are the
    device's word. `sent_bytes` are those of the files that the device did not have yet, `received_bytes` those of the reported
    files.
    """

    id: str
    device: str
    device_name: str
    result: Mapping[str, Any]
    files: Mapping[str, Path]
    sent_bytes: int = 0
    received_bytes: int = 0


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

    def device_path(self, path: Path) -> str:
        """Return where a file of the workspace or of the job's folder lies on a device, relative to the run's folder.

        Raises `InvalidInputError` for a file elsewhere, which cannot travel.
        """

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
        """Run a script on a device, wait for its end and return what it reported.

        The script and the `files` that go with it lie in the workspace or in the job's folder; `device_path` says how the script
        finds them. `like` names a script of the workspace and its arguments: what a run of that takes along goes as well.
        `device` is an id or a name (None: the workspace's, else the only linked one). `on_line` sees the output line by
        line, which otherwise goes to the job's log. Raises what the script raised, if that was an error of edgeloop,
        `TaskFailedError` and its kin for other failures, and `DeviceUnavailableError`. A job that ends takes its runs along.
        """
