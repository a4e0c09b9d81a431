"""Changes of a workspace's breakpoints on operators reach the runs that are at work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgeloop_daemon.debugging.breakpoints import Breakpoints, kept_breakpoint
from edgeloop_daemon.devices.operator_control import Conversation, OperatorControl
from edgeloop_daemon.devices.run_breakpoints import RunBreakpoint, reference_files
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared.errors import DeviceUnavailableError, EdgeloopError
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS, OperatorBreakpointOrder
from edgeloop_shared.operator_control import GiveFile, SetBreakpoints

_RETRY_SECONDS = 1.0
_EDIT_SECONDS = 10.0
_log = logging.getLogger(__name__)


class LiveBreakpoints:
    """Tells workers of changes. A run that was started without the kept breakpoints does not get them now."""

    def __init__(self, breakpoints: Breakpoints, workspaces: Workspaces, runs: Runs, control: OperatorControl) -> None:
        self._breakpoints = breakpoints
        self._workspaces = workspaces
        self._runs = runs
        self._control = control
        self._edited: dict[str, tuple[OperatorBreakpointOrder, ...]] = {}  # by their run: those of an editor
        self._changed: set[str] = set()  # runs that do not know the newest ones
        self._telling: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell workers for the block."""
        try:
            yield
        finally:
            tasks = tuple(self._telling.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def changed(self, workspace: str) -> None:
        """The breakpoints of a workspace have changed: tell its runs."""
        for run_id in self._runs.at_work(workspace):
            self._tell_soon(run_id)

    async def edit(self, run_id: str, orders: tuple[OperatorBreakpointOrder, ...]) -> None:
        """An editor has these breakpoints in a run, beside the others; return when the run knows them, or after a while."""
        self._edited[run_id] = orders
        self._tell_soon(run_id)
        await asyncio.wait({self._telling[run_id]}, timeout=_EDIT_SECONDS)

    def _tell_soon(self, run_id: str) -> None:
        self._changed.add(run_id)
        if run_id not in self._telling:
            task = self._telling[run_id] = asyncio.create_task(self._tell(run_id))
            task.add_done_callback(lambda _: self._telling.pop(run_id, None))

    async def _tell(self, run_id: str) -> None:
        run = await self._runs.get(run_id)
        while (run.kept_breakpoints or run_id in self._edited) and run_id in self._changed:
            try:
                async with self._control.conversation(run_id) as conversation:
                    while run_id in self._changed:
                        self._changed.discard(run_id)
                        await self._set(run, conversation)
            except DeviceUnavailableError:
                self._changed.add(run_id)
                await asyncio.sleep(_RETRY_SECONDS)
            except (EdgeloopError, OSError) as error:  # the run has ended, or a reference is gone
                _log.warning("run %s does not get the breakpoints of its workspace: %s", run_id, error)
            if run_id not in self._runs.at_work(run.workspace):
                self._changed.discard(run_id)
                self._edited.pop(run_id, None)

    async def _set(self, run: Run, conversation: Conversation) -> None:
        known = set(run.operator_breakpoints)
        own = [order for order in run.operator_breakpoints if order.id.startswith("o")]
        own += self._edited.get(run.id, ())
        stored = await self._breakpoints.list(run.workspace, "operator") if run.kept_breakpoints else ()
        kept = [kept_breakpoint(one.id, one) for one in stored][: MAX_BREAKPOINTS - len(own)]
        root = Path((await self._workspaces.get(run.workspace)).path)
        await self._give([one for one in kept if one.order not in known], root, conversation)
        orders: tuple[OperatorBreakpointOrder, ...] = (*own, *(one.order for one in kept))
        await conversation.ask(SetBreakpoints(orders))

    async def _give(self, new: list[RunBreakpoint], root: Path, conversation: Conversation) -> None:
        """Send the references of breakpoints that did not travel with the run."""
        for target, source in (await asyncio.to_thread(reference_files, root, new)).items():
            content = await asyncio.to_thread((root / source).read_bytes)
            await conversation.ask(GiveFile(target, len(content)), content)
