"""The train job: snapshot, worktree, a backend's run, artifacts back in the workspace. It runs in a job process."""

from __future__ import annotations

import collections
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeloop import JobContext, Training, TrainingRun, TrainingState, load_handler, parse_metrics
from edgeloop.metrics import parse_progress
from edgeloop_daemon.jobs.artifacts import artifacts_folder, point_latest_at, publish_artifacts
from edgeloop_daemon.jobs.cancellation import shielded
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import (
    CancelledByUserError,
    ConflictError,
    EdgeloopError,
    InvalidInputError,
    JobFailedError,
    NotFoundError,
)

LAST_LINES = 20
_URL = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class TrainJob:
    """What a train job is told; plain JSON, because it crosses to another process.

    `implementation`, `parameters_type`, `snapshot`, `checkout` and `discard` are `"module:name"` references from the plugins'
    declarations; `parameters` holds the backend's own. `data` maps a data set's name to a path (absolute, or relative to the
    workspace) or a URL. `artifacts` is a folder relative to the workspace.
    """

    backend: str
    implementation: str
    parameters_type: str
    snapshot: str
    checkout: str
    discard: str
    command: tuple[str, ...] = field(metadata={"min_length": 1})
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    artifacts: str = "artifacts"


@dataclass(frozen=True)
class TrainResult:
    """What a training brought: the commit that ran, its duration, its artifacts relative to the workspace, final metrics."""

    commit: str
    seconds: float
    artifacts: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass
class _Log:
    """What the run has said so far."""

    context: JobContext
    metrics: dict[str, float] = field(default_factory=dict)
    last_lines: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=LAST_LINES))

    def take(self, line: str) -> None:
        self.context.log(line)
        self.last_lines.append(line)
        for point in parse_metrics(line):
            self.metrics[point.tag] = point.value
            self.context.metric(point.tag, point.step, point.value)
        fraction = parse_progress(line)
        if fraction is not None:
            self.context.progress(fraction, "Training")


def train(parameters: TrainJob, context: JobContext) -> TrainResult:
    """Train the workspace's present state and bring the artifacts to `<artifacts>/<job id>/`; `latest` points there.

    The code runs in a worktree of its own, so that editing goes on meanwhile; the worktree is removed however the training ends.
    Raises `JobFailedError` with the end of the log when the command fails, `NotFoundError` for data that does not exist, and
    `CancelledByUserError` when somebody else stops the backend's run. A cancelled job stops the run and removes the worktree.
    """
    workspace, run_id = context.workspace, context.job_id
    artifacts = artifacts_folder(workspace, parameters.artifacts)
    environment = {"EDGELOOP_RUN_ID": run_id, **_data_environment(workspace, parameters.data)}
    # Decoding made tuples of the arrays; encoding makes arrays of them again.
    backend_parameters = decode(load_handler(parameters.parameters_type), encode(parameters.parameters))
    backend: Training = load_handler(parameters.implementation)(backend_parameters, context)
    log = _Log(context)
    context.progress(None, "Recording the working tree")
    commit = load_handler(parameters.snapshot)(workspace, run_id)
    try:
        folder = load_handler(parameters.checkout)(workspace, commit, tree_of(context.folder))
        context.log(f"Commit {commit[:12]} holds the code of this run.")
        context.progress(None, "Training")
        started, begun = datetime.now(UTC), time.monotonic()
        reference = _run(backend, TrainingRun(run_id, commit, folder, parameters.command, environment), log)
        seconds = round(time.monotonic() - begun, 3)
    finally:
        _discard(parameters.discard, context)
    context.progress(None, "Fetching the artifacts")
    provenance = {
        "run_id": run_id,
        "commit": commit,
        "command": parameters.command,
        "backend": parameters.backend,
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
        "metrics": log.metrics,
    }
    files = publish_artifacts(artifacts, run_id, lambda draft: backend.fetch_artifacts(reference, draft), provenance)
    if not files:
        context.log("The run wrote no file to the folder that $EDGELOOP_OUTPUT names, so it has no artifacts.")
    try:
        point_latest_at(artifacts, run_id)
    except ConflictError as error:
        context.log(str(error))
    return TrainResult(commit, seconds, tuple(path.relative_to(workspace).as_posix() for path in files), log.metrics)


def tree_of(files: Path) -> Path:
    """Return where a training's worktree lies in its job's own folder."""
    return files / "tree"


def _run(backend: Training, run: TrainingRun, log: _Log) -> str:
    """Run to the end and return the reference of a run that succeeded."""
    reference = backend.submit(run)
    try:
        for line in backend.follow_logs(reference):
            log.take(line)
        status = backend.status(reference)
    except BaseException:
        _stop(backend, reference, log.context)
        raise
    if status.state == TrainingState.SUCCEEDED:
        return reference
    if status.state == TrainingState.STOPPED:
        raise CancelledByUserError(f"The training {status.message or 'was stopped'}.")
    details: dict[str, Any] = {"native_output": list(log.last_lines)}
    if status.exit_code is not None:
        details["exit_code"] = status.exit_code
    raise JobFailedError(
        f"The training {status.message or 'failed'}.",
        hint="The end of its log says why." if log.last_lines else "It wrote nothing to its log.",
        details=details,
    )


def _stop(backend: Training, reference: str, context: JobContext) -> None:
    with shielded():
        try:
            backend.stop(reference)
        except EdgeloopError as error:
            context.log(str(error))


def _discard(handler: str, context: JobContext) -> None:
    # A failure here must not hide why the training failed, nor make a good one bad.
    with shielded():
        try:
            load_handler(handler)(context.workspace, tree_of(context.folder))
        except EdgeloopError as error:
            context.log(f"The run's worktree was not removed. {error}")


def _data_environment(workspace: Path, data: Mapping[str, str]) -> dict[str, str]:
    environment: dict[str, str] = {}
    for name, place in data.items():
        variable = "EDGELOOP_DATA_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
        if variable in environment:
            raise InvalidInputError(
                f"Two data sets would both be called {variable}.", hint="Rename one in edgeloop.toml."
            )
        if _URL.match(place) is None:
            path = workspace / Path(place).expanduser()
            if not path.exists():
                raise NotFoundError(
                    f"The data set {name!r} does not exist at {path}.", hint="Check [data] in edgeloop.toml."
                )
            place = str(path)
        environment[variable] = place
    return environment
