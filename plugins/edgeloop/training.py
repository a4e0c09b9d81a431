"""The protocol of a training backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class TrainingRun:
    """What a backend is asked to run: code as a commit and its checked-out folder, never a repository's live tree.

    `environment` holds `EDGELOOP_RUN_ID` and one `EDGELOOP_DATA_<NAME>` per data set; the backend adds `EDGELOOP_OUTPUT`, the
    folder whose files are the artifacts.
    """

    run_id: str
    commit: str
    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]


class TrainingState(StrEnum):
    """The states of a training run; the last three are terminal."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class TrainingStatus:
    """A state and, where it helps, a sentence on it (an exit code, a queue position).

    `exit_code` is the command's own where the backend knows it (negative: minus the signal).
    """

    state: TrainingState
    message: str = ""
    exit_code: int | None = None


class Training(Protocol):
    """A training backend. `reference` is the backend's own text for a run; it is stored, so that a later process can
    go on with the run (`status`, `follow_logs`, `stop` and `fetch_artifacts` work with the reference alone)."""

    def submit(self, run: TrainingRun) -> str:
        """Start `run` and return its reference."""

    def status(self, reference: str) -> TrainingStatus:
        """Return the present state."""

    def follow_logs(self, reference: str) -> Iterator[str]:
        """Yield the run's log lines from the beginning until it ends."""

    def stop(self, reference: str) -> None:
        """Stop the run; a run that has ended stays as it is."""

    def fetch_artifacts(self, reference: str, folder: Path) -> None:
        """Copy the run's artifacts into `folder`, which exists and is empty."""
