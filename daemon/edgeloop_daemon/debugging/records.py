"""What a debug session is begun with, and what the API shows of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_shared.models import RunState

State = Literal["starting", "waiting", "running", "paused", "link-lost", "ended"]


@dataclass(frozen=True)
class SessionPlan:
    """What to debug: a `script` of the workspace, started anew, or the `run` that was started under the debugger.

    With `wait` the script begins when an editor has attached and set its breakpoints. `folder` is the workspace's, as an editor
    spells it (None: as it is).
    """

    workspace: RunWorkspace
    script: str | None = None
    arguments: tuple[str, ...] = ()
    run: str | None = None
    device: str | None = None
    include: tuple[str, ...] = ()
    trace: bool = False
    memory_mb: int | None = None
    wait: bool = False
    stop_on_entry: bool = False
    just_my_code: bool = True
    folder: str | None = None


@dataclass(frozen=True)
class Pause:
    """Where a session stands. `file` is relative to the workspace where it is one of its files; `line` counts from 1.

    `reason` is the protocol's word (`breakpoint`, `step`, `exception`, `pause`, `entry`), `description` what the debugger says
    beyond it.
    """

    file: str | None
    line: int | None
    function: str
    reason: str
    description: str
    thread: int


@dataclass(frozen=True)
class Session:
    """A debug session. Times are seconds since the UNIX epoch; `message` says why one has ended, `error` what went wrong.

    `waiting` means that the script waits for an editor, `link-lost` that the device is away and is waited for.
    """

    id: str
    workspace: str
    script: str | None
    arguments: tuple[str, ...]
    run: str | None
    device: str | None
    state: State
    pause: Pause | None
    has_editor: bool
    message: str
    error: Mapping[str, Any] | None
    created_at: float
    ended_at: float | None


def exit_code(state: RunState) -> int:
    """Return what an editor is told of a run that has ended."""
    return 0 if state is RunState.SUCCEEDED else 1
