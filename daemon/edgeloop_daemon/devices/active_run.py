"""A run that has not ended, as the daemon holds it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_daemon.devices.run_events import Reported
from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.errors import CancelledByUserError
from edgeloop_shared.messages import RunTask


@dataclass
class ActiveRun:
    """A run that has not ended. `blobs` is what its device may read: the bundle's manifest and files."""

    command: RunTask
    device: str
    blobs: frozenset[str]
    root: Path | None = None
    was_accepted: bool = False
    reported: Reported = field(default_factory=Reported)
    started_at: float = field(default_factory=time.time)
    received: set[str] = field(default_factory=set)
    """Announced files whose bytes have come."""
    has_ended: bool = False
    tells_rest: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.command.run_id

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def restored(
    run: Run, workspace_name: str, manifest: str, manifest_bytes: int, files: frozenset[str], reported: Reported
) -> ActiveRun:
    """Return a run of an earlier daemon, whose bundle are the manifest and `files` (hashes)."""
    command = RunTask(
        command_id=run.id,
        run_id=run.id,
        workspace=run.workspace,
        manifest=manifest,
        manifest_bytes=manifest_bytes,
        script=run.script,
        arguments=run.arguments,
        trace=run.trace,
        memory_bytes=run.memory_bytes,
        debug=None if run.debug == "off" else run.debug,
        operator_breakpoints=run.operator_breakpoints or None,
        workspace_name=workspace_name,
    )
    return ActiveRun(
        command,
        run.device,
        files | {manifest},
        reported=reported,
        received={file.sha256 for file in run.files if file.is_received},
        started_at=run.started_at or run.created_at,
    )


def cancelled(run_id: str) -> CancelledByUserError:
    """Return the error of a run whose end was asked for."""
    return CancelledByUserError(f"Run {run_id} was cancelled.")
