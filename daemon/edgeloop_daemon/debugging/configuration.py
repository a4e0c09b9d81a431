"""What the debugger of a session is set to: options, path mapping, breakpoints. All of it is set anew after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeloop_daemon.debugging.breakpoints import Breakpoint, Breakpoints, Verification
from edgeloop_daemon.debugging.dap import Body, Request, Response, breakpoints_of
from edgeloop_daemon.debugging.line_breakpoints import NOT_IN_BUNDLE, LineBreakpoints, first_line
from edgeloop_daemon.debugging.records import SessionPlan
from edgeloop_shared.errors import EdgeloopError, InvalidInputError

if TYPE_CHECKING:
    from edgeloop_daemon.debugging.session import DebugSession

_MAX_PATH = 4096


class Configuration:
    """The debugger's settings for one session."""

    def __init__(self, session: DebugSession, stored: Breakpoints) -> None:
        self._session = session
        self._stored = stored
        self._keeping = asyncio.Lock()
        self.lines = LineBreakpoints(session.id)
        self.functions: Body = {}
        self._filters: tuple[str, ...] = ()
        self._kept_filters: tuple[str, ...] = ()
        self._just_my_code = session.plan.just_my_code
        self._mapped_root = ""
        self._device_root = "."

    async def introduce(self, plan: SessionPlan) -> None:
        """Be a new client to a debugger: its options are those of the plan, or of the editor that came last."""
        await self._session.request(
            "initialize",
            {
                "clientID": "edgeloop",
                "adapterID": "edgeloop",
                "pathFormat": "path",
                "linesStartAt1": True,
                "columnsStartAt1": True,
                "supportsVariableType": True,
            },
        )
        if plan.folder is not None and not self._mapped_root:
            await asyncio.to_thread(self._session.paths.spell, plan.folder)
        self._device_root = "."  # the folder in which the run was begun
        await self._session.request("attach", self._options())
        found = await self._session.request("evaluate", {"expression": "__import__('os').getcwd()", "context": "repl"})
        if isinstance(found.get("result"), str):
            self._device_root = found["result"]
        if plan.stop_on_entry and plan.script is not None:
            line = await asyncio.to_thread(first_line, plan.workspace.root / plan.script)
            self.lines.entry = None if line is None else (plan.script, line)

    def entered(self) -> bool:
        """The script has stopped; return whether that is its entry, at which it stops once."""
        entry, self.lines.entry = self.lines.entry, None
        if entry is not None:
            self._session.spawn(self._resend(entry[0]))
        return entry is not None

    async def adopt(self, *, just_my_code: bool) -> None:
        """Take the options of an editor."""
        if just_my_code != self._just_my_code or self._session.paths.root != self._mapped_root:
            self._just_my_code = just_my_code
            await self._session.request("attach", self._options())
            for file in self.lines.files:
                await self._send(file)

    async def set_all(self) -> None:
        """Set everything anew."""
        async with self._keeping:
            stored = await self._stored.list(self._session.plan.workspace.id)
            self.lines.keep(stored)
            await self._set(self.lines.files, stored)
        if self.functions:
            self._session.pass_on(Request(0, "setFunctionBreakpoints", self.functions), lambda _: None)

    async def set_kept(self) -> None:
        """Set what has changed of the workspace's breakpoints; what counts hits in other files counts on."""
        try:
            await self._session.ready()
        except EdgeloopError:  # the debugger never came
            return
        async with self._keeping:  # or an older list might come last
            stored = await self._stored.list(self._session.plan.workspace.id)
            await self._set(self.lines.keep(stored), stored)

    async def set_breakpoints(self, arguments: Body) -> Body:
        """Set an editor's breakpoints of a file, beside those that are kept. Raises `InvalidInputError`, `DebuggerError`."""
        source = arguments.get("source")
        path = source.get("path") if isinstance(source, dict) else None
        wanted = breakpoints_of(arguments) or [{"line": line} for line in _lines(arguments)]
        if not isinstance(path, str) or not 0 < len(path) <= _MAX_PATH:
            raise InvalidInputError("Breakpoints need the path of a file.")
        file = await asyncio.to_thread(self._session.paths.relative, path)
        if file is None:
            # One of the device's own files, which the debugger may know; nothing of the workspace is kept there.
            body = await self._session.request("setBreakpoints", {"source": {"path": path}, "breakpoints": wanted})
            return {**body, "breakpoints": [_foreign(one) for one in breakpoints_of(body)]}
        self.lines.edit(file, wanted)
        return {"breakpoints": await self._send(file)}

    async def set_exception_filters(self, arguments: Body) -> Body:
        """Set an editor's exception breakpoints, beside those that are kept. Raises `DebuggerError`."""
        filters = arguments.get("filters")
        options = arguments.get("filterOptions")
        chosen = [one for one in filters if isinstance(one, str)] if isinstance(filters, list) else []
        if isinstance(options, list):
            chosen += [str(one.get("filterId")) for one in options if isinstance(one, dict)]
        self._filters = tuple(chosen)
        await self._send_filters()
        return {}

    def forget_edited(self, then: Callable[[], None]) -> None:
        """Forget what an editor has set; `then` is called when the debugger has forgotten it too.

        The requests go out at once, before whatever the caller asks next.
        """
        for file in self.lines.forget_edited():
            self._session.ask("setBreakpoints", self._wanted(file), partial(self._was_sent, file))
        if self.functions:
            self.functions = {}
            self._session.ask("setFunctionBreakpoints", {"breakpoints": []}, lambda _: None)
        self._filters = ()
        self._session.ask("setExceptionBreakpoints", {"filters": self._all_filters()}, lambda _: then())

    def _was_sent(self, file: str, response: Response) -> None:
        if response.success:
            self.lines.answered(file, breakpoints_of(response.body))

    async def _resend(self, file: str) -> None:
        await self._send(file)

    async def _send(self, file: str) -> list[dict[str, Any]]:
        """Set the breakpoints of a file; return what became of the editor's."""
        body = await self._session.request("setBreakpoints", self._wanted(file))
        return self.lines.answered(file, breakpoints_of(body))

    def _wanted(self, file: str) -> dict[str, Any]:
        return {"source": {"path": self._session.paths.spelled(file)}, "breakpoints": self.lines.wanted(file)}

    async def _set(self, files: Sequence[str], stored: Sequence[Breakpoint]) -> None:
        for file in files:
            await self._send(file)
        exceptions = [one for one in stored if one.filter is not None]
        self._kept_filters = tuple(str(one.filter) for one in exceptions)
        await self._send_filters()
        word = Verification(self._session.id, "verified", None, "", time.time())  # the debugger has taken them all
        self.lines.verified.update({one.id: word for one in exceptions})
        self._session.verified(self.lines.verified)

    async def _send_filters(self) -> None:
        await self._session.request("setExceptionBreakpoints", {"filters": self._all_filters()})

    def _all_filters(self) -> list[str]:
        return list(dict.fromkeys((*self._filters, *self._kept_filters)))

    def _options(self) -> dict[str, Any]:
        self._mapped_root = self._session.paths.root
        return {
            "justMyCode": self._just_my_code,
            "pathMappings": [{"localRoot": self._mapped_root, "remoteRoot": self._device_root}],
            "redirectOutput": False,  # the run's log has it, what native code prints included
            "showReturnValue": True,
            "stopAllThreadsOnSuspend": True,
            "variablePresentation": {"special": "hide", "function": "hide", "class": "group", "protected": "inline"},
        }


def _lines(arguments: Body) -> list[int]:
    lines = arguments.get("lines")
    return [one for one in lines if isinstance(one, int)] if isinstance(lines, list) else []


def _foreign(found: dict[str, Any] | Any) -> dict[str, Any]:
    return {**found, "message": NOT_IN_BUNDLE} if "does not exist" in str(found.get("message", "")) else dict(found)
