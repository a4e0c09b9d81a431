"""Runs on devices, as debug sessions start and follow them."""

from __future__ import annotations

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.records import SessionPlan
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import LogPage, Runs


class DeviceRuns:
    """It is the `DebuggedRuns` of the daemon."""

    def __init__(self, runs: Runs, breakpoints: Breakpoints) -> None:
        self._runs = runs
        self._breakpoints = breakpoints

    async def start(self, plan: SessionPlan) -> Run:
        """Start the plan's script so that it waits for the debugger's client. Raises as `Runs.start` does."""
        assert plan.script is not None
        return await self._runs.start(
            plan.workspace,
            plan.script,
            plan.arguments,
            device=plan.device,
            include=plan.include,
            trace=plan.trace,
            memory_mb=plan.memory_mb,
            debug="wait",
            breakpoints=await self._breakpoints.for_run(plan.workspace.id, (), with_kept=True),
        )

    async def get(self, run_id: str, wait: float = 0.0) -> Run:
        """Return a run; with `wait` seconds, once it has ended for good or that time is over. Raises `NotFoundError`."""
        return await self._runs.get(run_id, wait, for_good=True)

    async def log(self, run_id: str, offset: int = 0, limit: int = 65536, wait: float = 0.0) -> LogPage:
        """Return output behind `offset`."""
        return await self._runs.log(run_id, offset, limit, wait)

    async def cancel(self, run_id: str) -> Run:
        """Ask for the end of a run."""
        return await self._runs.cancel(run_id)
