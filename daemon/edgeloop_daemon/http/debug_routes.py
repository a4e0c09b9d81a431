"""The routes of debug sessions. Editors speak the Debug Adapter Protocol over a WebSocket, see `http.debug_socket`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from edgeloop_daemon.debugging.dap import Request
from edgeloop_daemon.debugging.debugger import answer_to
from edgeloop_daemon.debugging.records import Session, SessionPlan
from edgeloop_daemon.debugging.sessions import DebugSessions
from edgeloop_daemon.http.debug_socket import serve_editor
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.run_routes import FindWorkspace
from edgeloop_daemon.http.streams import Streams
from edgeloop_shared.errors import ConflictError, DebuggerError, DeviceUnavailableError, InvalidInputError
from edgeloop_shared.models import MAX_MEMORY_MB, MIN_MEMORY_MB

_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class StartDebugSession:
    """What to debug. `device` is an id or a name (null: the workspace's, else the only linked one).

    `memory_mb` is what the script may allocate, in MiB (null: the workspace's setting, else the device's own bound). With
    `wait` the script begins when an editor has attached; without, at once, with the workspace's breakpoints. `just_my_code` lets
    steps and exceptions stop in the workspace's files alone.
    """

    script: str = field(metadata={"min_length": 1, "max_length": 512})
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    device: str | None = None
    include: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    trace: bool = False
    memory_mb: int | None = field(default=None, metadata={"ge": MIN_MEMORY_MB, "le": MAX_MEMORY_MB})
    wait: bool = False
    stop_on_entry: bool = False
    just_my_code: bool = True


@dataclass(frozen=True)
class AttachDebugSession:
    """Which run to debug: one that is at work, under the debugger or not, and has no session now."""

    run: str = field(metadata={"pattern": "^r[0-9a-z]{1,31}$"})


@dataclass(frozen=True)
class DebugSessionItems:
    """Debug sessions, the newest first."""

    items: tuple[Session, ...]


@dataclass(frozen=True)
class DebugSessionsQuery:
    """Which sessions to list."""

    workspace: str | None = None


@dataclass(frozen=True)
class EndDebugSessionQuery:
    """How to end a session: with its run, or by letting go of it (`detach`)."""

    detach: bool = False


@dataclass(frozen=True)
class EditorQuery:
    """The folder in which an editor works: an absolute path."""

    folder: str | None = field(default=None, metadata={"max_length": 4096, "pattern": r"^/[^\x00]*$"})


@dataclass(frozen=True)
class DebugRequest:
    """A request of the Debug Adapter Protocol: `continue`, `stackTrace`, `evaluate` and so on."""

    command: str = field(metadata={"min_length": 1, "max_length": 64})
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DebugAnswer:
    """The body of the debugger's answer."""

    body: Mapping[str, Any]


def debug_routes(sessions: DebugSessions, find_workspace: FindWorkspace, streams: Streams) -> tuple[Route, ...]:
    """Return the routes."""

    async def start_session(call: Call) -> Session:
        body: StartDebugSession = call.body
        workspace = await find_workspace(call.path["workspace"])
        plan = SessionPlan(
            workspace,
            body.script,
            body.arguments,
            device=body.device,
            include=body.include,
            trace=body.trace,
            memory_mb=body.memory_mb,
            wait=body.wait,
            stop_on_entry=body.stop_on_entry,
            just_my_code=body.just_my_code,
        )
        session = sessions.start(plan)
        await session.has_run()
        return session.record()

    async def attach_session(call: Call) -> Session:
        workspace = await find_workspace(call.path["workspace"])
        session = sessions.start(SessionPlan(workspace, run=call.body.run))
        await session.ready()
        return session.record()

    async def list_sessions(call: Call) -> DebugSessionItems:
        return DebugSessionItems(sessions.list(call.query.workspace))

    async def get_session(call: Call) -> Session:
        return sessions.get(call.path["session"]).record()

    async def end_session(call: Call) -> Session:
        session = sessions.get(call.path["session"])
        await session.end(stop=not call.query.detach)
        return session.record()

    async def ask_debugger(call: Call) -> DebugAnswer:
        body: DebugRequest = call.body
        session = sessions.get(call.path["session"])
        request = Request(0, body.command, body.arguments)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return DebugAnswer(await answer_to(body.command, lambda answer: session.pass_on(request, answer)))
        except TimeoutError:
            raise DebuggerError(
                f"The debugger has not answered `{body.command[:64]}` within {_ANSWER_SECONDS:g} s.",
                hint="Its device may be away, see the session's state.",
            ) from None

    async def open_editor(call: Call) -> web.StreamResponse:
        return await serve_editor(call.request, streams, sessions, folder=call.query.folder)

    async def open_session_editor(call: Call) -> web.StreamResponse:
        session = sessions.get(call.path["session"])
        return await serve_editor(call.request, streams, sessions, folder=call.query.folder, session=session)

    tag = "debugging"
    of_workspace = "/workspaces/{workspace:w[0-9a-z]+}/debug"
    one = "/debug/sessions/{session:s[0-9a-z]+}"
    failures = (ConflictError, DeviceUnavailableError, DebuggerError)
    return (
        Route(
            *("POST", f"{of_workspace}/sessions", "start_debug_session", "Debug a script on a device."),
            *(start_session, Session, StartDebugSession),
            status=201,
            tag=tag,
            errors=failures,
        ),
        Route(
            *("POST", f"{of_workspace}/attach", "attach_debug_session", "Debug a run that goes on."),
            *(attach_session, Session, AttachDebugSession),
            status=201,
            tag=tag,
            errors=failures,
        ),
        Route(
            *("GET", "/debug/sessions", "list_debug_sessions", "List debug sessions.", list_sessions),
            result=DebugSessionItems,
            query=DebugSessionsQuery,
            tag=tag,
        ),
        Route("GET", one, "get_debug_session", "Show a debug session.", get_session, Session, tag=tag),
        Route(
            *("DELETE", one, "end_debug_session", "End a debug session.", end_session, Session),
            query=EndDebugSessionQuery,
            tag=tag,
        ),
        Route(
            *("POST", f"{one}/requests", "ask_debugger", "Ask the debugger of a session.", ask_debugger, DebugAnswer),
            body=DebugRequest,
            tag=tag,
            errors=failures,
        ),
        Route(
            *("GET", "/debug/dap", "open_editor", "Debug with an editor: a WebSocket of DAP bytes.", open_editor),
            query=EditorQuery,
            status=101,
            tag=tag,
            errors=(InvalidInputError,),
        ),
        Route(
            *("GET", f"{one}/dap", "open_session_editor", "Attach an editor to a session.", open_session_editor),
            query=EditorQuery,
            status=101,
            tag=tag,
            errors=(InvalidInputError,),
        ),
    )
