"""An editor's side of the Debug Adapter Protocol: one conversation, from its `initialize` to its end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edgeloop_daemon.debugging.dap import Body, Event, Message, MessageReader, Request, Response, encode
from edgeloop_daemon.debugging.editor_arguments import LaunchArguments, attach_choice, launch_arguments
from edgeloop_daemon.debugging.session import DebugSession
from edgeloop_daemon.debugging.sessions import DebugSessions
from edgeloop_daemon.debugging.traffic import PASSED
from edgeloop_shared.errors import ConflictError, EdgeloopError, InvalidInputError

CAPABILITIES: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "supportsConfigurationDoneRequest",
            "supportsConditionalBreakpoints",
            "supportsHitConditionalBreakpoints",
            "supportsLogPoints",
            "supportsFunctionBreakpoints",
            "supportsEvaluateForHovers",
            "supportsSetVariable",
            "supportsSetExpression",
            "supportsGotoTargetsRequest",
            "supportsStepInTargetsRequest",
            "supportsCompletionsRequest",
            "supportsModulesRequest",
            "supportsValueFormattingOptions",
            "supportsExceptionInfoRequest",
            "supportsDelayedStackTraceLoading",
            "supportsClipboardContext",
            "supportsRestartRequest",
            "supportsTerminateRequest",
            "supportTerminateDebuggee",
            "supportSuspendDebuggee",
        ),
        True,
    ),
    "exceptionBreakpointFilters": (
        {"filter": "raised", "label": "Raised Exceptions", "default": False},
        {"filter": "uncaught", "label": "Uncaught Exceptions", "default": True},
        {"filter": "userUnhandled", "label": "User Uncaught Exceptions", "default": False},
    ),
}
"""What `initialize` tells, beyond what extensions add."""
_BEFORE_CONFIGURED = ("output", "initialized", "exited", "terminated")


class Editor:
    """One editor. `send` takes the bytes for it and must not block.

    `folder` is the one in which the editor works, `session` the session that it is for (None: its `launch` or `attach` says).
    """

    def __init__(
        self,
        sessions: DebugSessions,
        send: Callable[[bytes], None],
        *,
        folder: str | None = None,
        session: DebugSession | None = None,
    ) -> None:
        self._sessions = sessions
        self._send = send
        self._folder = folder
        self._session = session
        self._reader = MessageReader()
        self._sequence = 0
        self._is_attached = False
        self._is_attaching = False
        self._is_configured = False
        self._has_launched = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_over = False
        """Whether it has said goodbye."""

    async def feed(self, data: bytes) -> None:
        """Take bytes of the editor. Raises `MessageError` for what is no message; the editor is told why."""
        try:
            for message in self._reader.feed(data):
                if isinstance(message, Request):
                    await self._handle(message)
        except EdgeloopError as error:
            self._write(Event(0, "output", {"category": "important", "output": f"edgeloop: {error}\n"}))
            self._write(Event(0, "terminated", {}))
            raise

    async def left(self) -> None:
        """The editor is gone, with or without a goodbye: its session goes on."""
        self.is_over = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._detach(stop=False)

    def tell(self, event: str, body: Body) -> None:
        """Send an event. Before the editor is configured it hears only what it may."""
        if self._is_configured or event in _BEFORE_CONFIGURED:
            self._write(Event(0, event, body))

    async def _handle(self, request: Request) -> None:
        try:
            match request.command:
                case "initialize":
                    self._answer(request, self._initialize(request.arguments))
                case "launch" | "attach":
                    self._later(request, self._begin(request))
                case "configurationDone":
                    self._configured(request)
                case "setBreakpoints":
                    self._answer(request, await self._attached().set_breakpoints(request.arguments))
                case "setExceptionBreakpoints":
                    self._answer(request, await self._attached().set_exception_filters(request.arguments))
                case "restart":
                    self._later(request, self._restart(request))
                case "terminate":
                    self._later(request, self._terminate(request))
                case "disconnect":
                    await self._disconnect(request)
                case "cancel":
                    self._answer(request, {})
                case command if command in PASSED or self._sessions.extensions:
                    self._attached().pass_on(request, partial(self._pass_back, request))
                case _:
                    raise InvalidInputError(f"edgeloop has no request `{request.command[:64]}`.")
        except EdgeloopError as error:
            self._refuse(request, error)

    def _initialize(self, arguments: Body) -> Body:
        if arguments.get("linesStartAt1") is False or arguments.get("columnsStartAt1") is False:
            raise InvalidInputError("edgeloop counts lines and columns from 1.", hint="Set `linesStartAt1`.")
        if arguments.get("pathFormat", "path") != "path":
            raise InvalidInputError("edgeloop takes paths, not URIs.", hint="Set `pathFormat` to `path`.")
        extra = {name: value for one in self._sessions.extensions for name, value in one.capabilities.items()}
        return {**CAPABILITIES, **extra}

    async def _begin(self, request: Request) -> None:
        """Start or find the session, attach to it, and ask for the breakpoints."""
        if self._is_attached or self._is_attaching:
            raise ConflictError("This editor is attached already.")
        self._is_attaching = True
        try:
            given = launch_arguments(request.arguments)
            folder = given.where or self._folder
            session = self._session or await self._chosen(request, given, folder)
            self._session = session
            await session.attach(self, just_my_code=given.justMyCode, folder=folder)
        finally:
            self._is_attaching = False
        self._is_attached = True
        self._answer(request, {})
        self._write(Event(0, "initialized", {}))

    async def _chosen(self, request: Request, given: LaunchArguments, folder: str | None) -> DebugSession:
        if request.command == "attach" and (given.task is None or attach_choice(given)):
            return await self._sessions.find(attach_choice(given), folder)
        self._has_launched = True
        return await self._sessions.launch(given, folder)

    async def _restart(self, request: Request) -> None:
        session = self._attached()
        new = request.arguments.get("arguments")
        if isinstance(new, dict) and self._has_launched:
            given = launch_arguments(new)
            session.plan = dataclasses.replace(session.plan, arguments=given.arguments)
        await session.restart()
        self._answer(request, {})

    async def _terminate(self, request: Request) -> None:
        session = self._attached()
        self._answer(request, {})
        await session.end(stop=True)

    async def _disconnect(self, request: Request) -> None:
        arguments = request.arguments
        stop = arguments.get("terminateDebuggee") is True
        for task in tuple(self._tasks):
            task.cancel()
        await self._detach(stop=stop, stay_paused=arguments.get("suspendDebuggee") is True)
        self._answer(request, {})
        self.is_over = True

    async def _detach(self, *, stop: bool, stay_paused: bool = False) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        session.detach(self, stay_paused=stay_paused)
        # A script that waited for this editor alone would wait for ever.
        is_orphan = self._has_launched and not self._is_configured
        if (stop or is_orphan) and not session.has_ended.is_set():
            await session.end(stop=True)

    def _configured(self, request: Request) -> None:
        session = self._attached()
        self._answer(request, {})
        self._is_configured = True
        session.configured()

    def _attached(self) -> DebugSession:
        if self._session is None or not self._is_attached:
            raise ConflictError(
                "No task is attached.", hint="Send `launch` or `attach` first, and wait for `initialized`."
            )
        return self._session

    def _later(self, request: Request, work: Any) -> None:
        """Do what takes time, while the editor may go on to ask."""

        async def do() -> None:
            try:
                await work
            except EdgeloopError as error:
                self._refuse(request, error)
            except asyncio.CancelledError:
                self._refuse(request, ConflictError("The request was cancelled."))
                raise

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(self, request: Request, body: Body) -> None:
        self._write(request.answered(body))

    def _pass_back(self, request: Request, response: Response) -> None:
        self._write(dataclasses.replace(response, request_seq=request.seq, command=request.command))

    def _refuse(self, request: Request, error: EdgeloopError) -> None:
        self._write(request.refused(error))

    def _write(self, message: Message) -> None:
        self._sequence += 1
        self._send(encode(message, self._sequence))
