"""What a plugin declares. From one declaration come the HTTP endpoint, its OpenAPI entry, the CLI command and the checks.

Handlers are named as `"module:name"` and imported only where they run, so that a declaration module stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelTool:
    """A tool on model files: `edgeloop NAME ...`, `POST /api/v1/workspaces/{workspace}/tools/NAME`.

    `handler(parameters, context: JobContext) -> result` runs in a job process. `parameters` and `result` are frozen
    dataclasses (see `edgeloop.parameters`; a result may be nested). A result with a text `report` is shown as that on the command
    line, which is 80 columns wide; one with an int `exit_status` ends the command with it, 0 or 1, and errors end it with 2.
    """

    name: str
    summary: str
    parameters: type
    result: type
    handler: str


@dataclass(frozen=True)
class WorkspaceOperation:
    """An operation on a workspace: `edgeloop GROUP NAME ...`, `POST /api/v1/workspaces/{workspace}/GROUP/NAME`.

    With `runs="job"` the handler takes `(parameters, context: JobContext)` and runs in a job process. With
    `runs="query"` it takes `(parameters, workspace: Path)` and runs in a thread of the daemon for at most ten seconds; it may
    start subprocesses, but never runs MNN or training code.
    """

    group: str
    name: str
    summary: str
    parameters: type
    result: type
    handler: str
    runs: Literal["job", "query"] = "job"


@dataclass(frozen=True)
class TrainingBackend:
    """A place where training runs: `edgeloop train --backend NAME`.

    `implementation` names a class whose instances fulfil `edgeloop.training.Training`; it is made in the job process as
    `implementation(parameters, context)`.
    """

    name: str
    summary: str
    parameters: type
    implementation: str


@dataclass(frozen=True)
class ProjectTemplate:
    """A folder that `edgeloop init --template NAME` copies.

    `folder` is `"package:subfolder"`. In `edgeloop.toml` the text `@NAME@` becomes the project's name; a file named
    `gitignore` becomes `.gitignore`. `requires` lists the distributions that the project's code imports, so that a
    missing one is named before anything runs. A template that `adds_to_folders` may be copied into a folder that holds
    files already; those stay as they are.
    """

    name: str
    summary: str
    folder: str
    requires: tuple[str, ...] = ()
    adds_to_folders: bool = False


@dataclass(frozen=True)
class SourceControl:
    """How a workspace's exact state is recorded. At most one plugin may provide it.

    - `create(workspace: Path) -> None` makes a new folder a repository
    - `locate(workspace: Path) -> Path | None` returns the top folder of the repository that the workspace belongs to, without
      running anything of it; None when it belongs to none
    - `examine(workspace: Path) -> tuple[str, ...]` tells, without running anything of the repository, which of its settings
      would run commands; the user sees them before trusting it
    - `snapshot(workspace: Path, run_id: str) -> str` returns the commit that holds the working tree, uncommitted changes included
    - `checkout(workspace: Path, commit: str, folder: Path) -> Path` lays a detached worktree of the commit, and returns the
      folder in it that corresponds to the workspace (`folder` itself unless the workspace is a part of a larger repository)
    - `discard(workspace: Path, folder: Path) -> None` removes such a worktree
    - `forget(workspace: Path, run_id: str) -> None` lets go of what `snapshot` recorded for a run that is pruned; one that is not
      known is no error. Without it snapshots are kept for ever.
    """

    create: str
    locate: str
    examine: str
    snapshot: str
    checkout: str
    discard: str
    forget: str | None = None
