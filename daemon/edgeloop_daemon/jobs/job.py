"""A job as the API shows it, and its row in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

JobKind = Literal["tool", "train", "operation"]


class JobState(StrEnum):
    """The states of a job; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Progress:
    """How far a running job is: `fraction` in 0..1, or None where nobody can know."""

    fraction: float | None = field(default=None, metadata={"ge": 0, "le": 1})
    message: str = ""


@dataclass(frozen=True)
class Job:
    """Long work in a process of its own. Times are seconds since the UNIX epoch.

    `name` is the tool, the backend or `group operation`. `result` is there when it succeeded, `error` (with `code`, `message`,
    `hint`, `details`) when it failed, `progress` while it runs.
    """

    id: str
    workspace: str
    kind: JobKind
    name: str
    state: JobState
    progress: Progress | None
    parameters: Mapping[str, Any]
    created_at: float
    started_at: float | None
    ended_at: float | None
    result: Any
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class Metric:
    """One point of a job's curve; `time` is when it was reported."""

    tag: str = field(metadata={"min_length": 1, "max_length": 200})
    step: int = field(metadata={"ge": 0, "lt": 2**63})
    value: float
    time: float


COLUMNS = "id, workspace, kind, name, state, parameters_json, created_at, started_at, ended_at, result_json, error_json"


def job_of_row(row: Sequence[Any], progress: Progress | None) -> Job:
    """Return the job in a row of `COLUMNS`."""
    job, workspace, kind, name, state, parameters, created_at, started_at, ended_at, result, error = row
    return Job(
        id=job,
        workspace=workspace,
        kind=kind,
        name=name,
        state=JobState(state),
        progress=progress,
        parameters=json.loads(parameters),
        created_at=created_at,
        started_at=started_at,
        ended_at=ended_at,
        result=None if result is None else json.loads(result),
        error=None if error is None else json.loads(error),
    )
