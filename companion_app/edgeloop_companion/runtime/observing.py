"""What happens in the runs of this device, for whoever looks on: a screen, say.

All of it was decoded with limits before, but the words are still those of a script: what shows them makes them harmless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import Event, LogLine
from edgeloop_shared.traces import TraceBatch


@dataclass(frozen=True)
class ScriptPaused:
    """A debugger holds the script, at `line` of `file` (relative to the task's folder) where it is in a file of the task."""

    file: str | None
    line: int | None


@dataclass(frozen=True)
class ScriptResumed:
    """No debugger holds the script any more."""


Seen = RunState | Event | LogLine | TraceBatch | ScriptPaused | ScriptResumed
"""One thing that happened in a run; a state is a new one."""

OnSeen = Callable[[Sequence[Seen]], None]
"""Told what happened, in order, on the event loop once it is on disk; it returns at once."""


@dataclass(frozen=True)
class TakenRun:
    """A run that a computer has given to this device; `is_taken_over` says that an earlier companion had begun with it.

    `stop` ends it because the device's user wants that, which its computer is told. It raises `NotFoundError` when it has ended.
    """

    command: RunTask
    is_taken_over: bool
    stop: Callable[[], Awaitable[None]]


ObserveRun = Callable[[TakenRun], OnSeen]
"""Called with each run as it comes; returns what is to be told of it."""
