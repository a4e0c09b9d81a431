"""What debug sessions stand on, and what stands on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.dap import Body
from edgeloop_daemon.debugging.interceptors import Extension
from edgeloop_daemon.debugging.records import SessionPlan
from edgeloop_daemon.devices.channels import Channels
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import LogPage
from edgeloop_daemon.events.kinds import Occurrence


class DebuggedRuns(Protocol):
    """The runs that sessions debug."""

    async def start(self, plan: SessionPlan) -> Run:
        """Start the plan's script so that it waits for the debugger's client. Raises as `Runs.start` does."""

    async def get(self, run_id: str, wait: float = 0.0) -> Run:
        """Return a run; with `wait` seconds, once it has ended for good or that time is over. Raises `NotFoundError`."""

    async def log(self, run_id: str, offset: int = 0, limit: int = 65536, wait: float = 0.0) -> LogPage:
        """Return output behind `offset`."""

    async def cancel(self, run_id: str) -> Run:
        """Ask for the end of a run."""


class EditorPort(Protocol):
    """The editor that is attached."""

    def tell(self, event: str, body: Body) -> None:
        """Send an event."""


@dataclass(frozen=True)
class Services:
    """What sessions stand on. `record` notes what happens; it must not block."""

    runs: DebuggedRuns
    channels: Channels
    breakpoints: Breakpoints
    record: Callable[[Occurrence, str], None]
    extensions: Sequence[Extension] = ()
