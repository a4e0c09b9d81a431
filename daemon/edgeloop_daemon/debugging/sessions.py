"""All debug sessions of the daemon: several at once, each of one workspace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.editor_arguments import LaunchArguments
from edgeloop_daemon.debugging.interceptors import Extension
from edgeloop_daemon.debugging.paths import PathMap
from edgeloop_daemon.debugging.ports import DebuggedRuns, Services
from edgeloop_daemon.debugging.records import Session, SessionPlan
from edgeloop_daemon.debugging.session import DebugSession
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.devices.channels import Channels
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import Occurrence
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import ConflictError, InvalidInputError, NotFoundError, StorageError

MAX_SESSIONS = 32
_KEPT = 100
_log = logging.getLogger(__name__)

FindFolder = Callable[[Path], Awaitable[RunWorkspace]]
"""Returns the trusted workspace that a folder lies in. Raises `InvalidInputError`, `NotTrustedError`."""


class DebugSessions:
    """The sessions. Those that have ended are kept a while, for whoever asks how."""

    def __init__(self, services: Services, find_folder: FindFolder) -> None:
        self._services = services
        self._find_folder = find_folder
        self._sessions: dict[str, DebugSession] = {}

    @property
    def extensions(self) -> Sequence[Extension]:
        """What extends debugging."""
        return self._services.extensions

    def start(self, plan: SessionPlan) -> DebugSession:
        """Begin a session. Raises `ConflictError` when there are too many, or its run is debugged already."""
        alive = [one for one in self._sessions.values() if not one.has_ended.is_set()]
        if len(alive) >= MAX_SESSIONS:
            raise ConflictError(f"{MAX_SESSIONS} debug sessions are open.", hint="End one of them first.")
        for one in alive:
            if plan.run is not None and plan.run == one.run:
                raise ConflictError(f"Run {plan.run} is debugged by session {one.id} already.")
        session = DebugSession(new_id("s"), plan, self._services)
        self._sessions[session.id] = session
        for ended in [one.id for one in self._sessions.values() if one.has_ended.is_set()][:-_KEPT]:
            del self._sessions[ended]
        session.begin()
        return session

    async def launch(self, given: LaunchArguments, folder: str | None) -> DebugSession:
        """Begin the session that an editor asks for. Raises `EdgeloopError`."""
        if given.task is None:
            raise InvalidInputError(
                "The debug configuration names no task.", hint="Say which script to debug: `task`, or `program`."
            )
        workspace = await self._workspace_of(folder)
        paths = PathMap(workspace.root)
        script = await asyncio.to_thread(paths.relative, given.task) if given.task.startswith("/") else given.task
        plan = SessionPlan(
            workspace=workspace,
            script=script or given.task,
            arguments=given.arguments,
            device=given.device,
            include=given.include,
            trace=given.trace,
            memory_mb=given.memory,
            wait=True,
            stop_on_entry=given.stopOnEntry,
            just_my_code=given.justMyCode,
            folder=folder,
        )
        return self.start(plan)

    async def find(self, choice: str | None, folder: str | None) -> DebugSession:
        """Return the session that an editor wants to attach to: by its id, by its run's, or the newest of the workspace.

        A run that is at work, under the debugger or not, and has no session gets one. Raises `NotFoundError`.
        """
        for one in self._sessions.values():
            if choice is not None and choice in (one.id, one.run) and not one.has_ended.is_set():
                return one
        workspace = await self._workspace_of(folder)
        if choice is not None and choice.startswith("r"):
            run = await self._services.runs.get(choice)
            if run.workspace == workspace.id and not run.state.is_terminal:
                return self.start(SessionPlan(workspace, run=run.id))
        of_workspace = [
            one
            for one in reversed(self._sessions.values())
            if one.plan.workspace.id == workspace.id and not one.has_ended.is_set()
        ]
        if choice is None and of_workspace:
            return of_workspace[0]
        raise NotFoundError(
            f"There is no debug session {choice[:64]!r} to attach to."
            if choice is not None
            else "No task of this workspace is being debugged.",
            hint="`edgeloop debug TASK` starts one, or a configuration with `request: launch` and a `task`.",
        )

    def get(self, name: str) -> DebugSession:
        """Return a session. Raises `NotFoundError`."""
        session = self._sessions.get(name)
        if session is None:
            raise NotFoundError(f"There is no debug session {name[:64]!r}.", hint="`edgeloop debug --list` lists them.")
        return session

    def list(self, workspace: str | None = None) -> tuple[Session, ...]:
        """Return the sessions of a workspace or of all, the newest first."""
        chosen = (one for one in self._sessions.values() if workspace in (None, one.plan.workspace.id))
        return tuple(one.record() for one in reversed(tuple(chosen)))

    def breakpoints_changed(self, workspace: str) -> None:
        """The breakpoints of a workspace have changed: its sessions set them."""
        for one in self._sessions.values():
            if one.plan.workspace.id == workspace:
                one.breakpoints_changed()

    async def close(self) -> None:
        """Leave all sessions; their runs go on."""
        for one in self._sessions.values():
            if not one.has_ended.is_set():
                await one.end(stop=False)

    async def _workspace_of(self, folder: str | None) -> RunWorkspace:
        if folder is None:
            raise InvalidInputError(
                "Nobody says in which workspace to debug.", hint="Give the debug configuration a `workspace`."
            )
        return await self._find_folder(Path(folder))


@asynccontextmanager
async def open_debugging(
    database: Database,
    breakpoints: Breakpoints,
    runs: DebuggedRuns,
    channels: Channels,
    find_folder: FindFolder,
    extensions: Sequence[Extension] = (),
) -> AsyncIterator[DebugSessions]:
    """Serve debugging for the block."""
    occurrences: asyncio.Queue[tuple[Occurrence, str]] = asyncio.Queue()

    async def record_all() -> None:
        while True:
            occurrence, workspace = await occurrences.get()
            try:
                await database.write(_writer(occurrence, workspace))
            except StorageError as error:
                _log.warning("An event of debugging is not recorded: %s", error)
            finally:
                occurrences.task_done()

    services = Services(
        runs=runs,
        channels=channels,
        breakpoints=breakpoints,
        record=lambda occurrence, workspace: occurrences.put_nowait((occurrence, workspace)),
        extensions=tuple(extensions),
    )
    recording = asyncio.create_task(record_all(), name="record debugging")
    sessions = DebugSessions(services, find_folder)
    try:
        yield sessions
    finally:
        await sessions.close()
        await occurrences.join()
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)


def _writer(occurrence: Occurrence, workspace: str) -> Callable[[Tables], None]:
    return lambda db: record_event(db, occurrence, workspace)
