"""Where a session stands: from the debugger's `stopped` to its `continued`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeloop_daemon.debugging.dap import Body
from edgeloop_daemon.debugging.records import Pause
from edgeloop_daemon.events.kinds import DebugPaused, DebugRunning, Occurrence
from edgeloop_shared.errors import DebuggerError

if TYPE_CHECKING:
    from edgeloop_daemon.debugging.session import DebugSession

_MAX_DESCRIPTION = 500


class Stops:
    """The newest stop of a session."""

    def __init__(self, session: DebugSession, record: Callable[[Occurrence], None]) -> None:
        self._session = session
        self._record = record
        self._body: Body | None = None
        self.pause: Pause | None = None
        """Where it is; None while the script runs."""

    def stopped(self, body: Body) -> None:
        """The script has stopped; where is asked for."""
        thread = body.get("threadId")
        description = str(body.get("text") or body.get("description") or "")[:_MAX_DESCRIPTION]
        self._body = body
        self.pause = Pause(
            *(None, None, ""),
            reason=str(body.get("reason", ""))[:64],
            description=description,
            thread=thread if isinstance(thread, int) and not isinstance(thread, bool) else 0,
        )
        self._session.spawn(self._locate(self.pause))

    def continued(self) -> None:
        """The script goes on."""
        if self.pause is not None:
            self.forget()
            self._record(DebugRunning(self._session.id))

    def forget(self) -> None:
        """Nothing stands any more."""
        self.pause = self._body = None

    def repeat(self) -> None:
        """Tell an editor that has just come."""
        if self._body is not None:
            self._session.tell("stopped", self._body)

    def tell_again(self) -> None:
        """Tell those who follow the events that it still stands, after the link was gone."""
        if self.pause is not None:
            self._note(self.pause)

    async def _locate(self, pause: Pause) -> None:
        body = await self._session.request("stackTrace", {"threadId": pause.thread, "startFrame": 0, "levels": 1})
        description = await self._exception(pause) if pause.reason == "exception" else pause.description
        if self.pause is not pause:
            return  # it has gone on meanwhile
        frames = body.get("stackFrames")
        top = frames[0] if isinstance(frames, list) and frames and isinstance(frames[0], dict) else {}
        source = top.get("source")
        source = source if isinstance(source, dict) else {}
        path, line = str(source.get("path") or ""), top.get("line")
        relative = (
            path[len(self._session.paths.root) + 1 :] if path.startswith(self._session.paths.root + "/") else path
        )
        self.pause = Pause(
            file=relative[:512] or None,
            line=line if isinstance(line, int) else None,
            function=str(top.get("name", ""))[:200],
            reason=pause.reason,
            description=description,
            thread=pause.thread,
        )
        self._note(self.pause)

    async def _exception(self, pause: Pause) -> str:
        """Return what was raised, as Python writes it."""
        try:
            body = await self._session.request("exceptionInfo", {"threadId": pause.thread})
        except DebuggerError:  # it has gone on meanwhile
            return pause.description
        words = (str(body.get(name) or "") for name in ("exceptionId", "description"))
        return ": ".join(filter(None, words))[:_MAX_DESCRIPTION] or pause.description

    def _note(self, pause: Pause) -> None:
        self._record(
            DebugPaused(
                self._session.id, pause.file, pause.line, pause.function, pause.reason, pause.description, pause.thread
            )
        )
