"""What stands between an editor and the debugger: the door through which debugging learns what debugpy does not know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeloop_daemon.debugging.dap import Body, Event, Request, Response
from edgeloop_daemon.debugging.debugger import OnAnswer


class Debuggee(Protocol):
    """What an interceptor knows of the session that it is made for."""

    @property
    def id(self) -> str:
        """The session's id."""

    @property
    def run(self) -> str:
        """The id of its run; another one after a restart."""

    @property
    def device(self) -> str:
        """The id of the device."""

    @property
    def root(self) -> Path:
        """The folder of the workspace."""

    def ask(self, command: str, arguments: Body, on_answer: OnAnswer) -> None:
        """Ask the debugger; `on_answer` is called in the order of its messages."""

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Body:
        """Return the body of the debugger's answer. Raises `DebuggerError`."""

    def tell(self, event: str, body: Body) -> None:
        """Send an event to the editor, if there is one."""

    def spawn(self, work: Awaitable[None]) -> None:
        """Do work as long as the session lives."""


class Interceptor:
    """Changes what goes between editor and debugger. Each method leaves everything as it is; override what is needed.

    One is made per session. Nothing here may block; what takes time goes through `Debuggee.spawn`.
    """

    def __init__(self, debuggee: Debuggee) -> None:
        self.debuggee = debuggee

    async def begin(self) -> None:
        """The debugger of a run is there, its script has not begun: set what is to be set."""

    def take_request(self, request: Request, answer: OnAnswer) -> bool:  # noqa: ARG002
        """Return whether this request (of an editor, or of the API) is dealt with here; then `answer` is called once."""
        return False

    def change_response(self, request: Request, response: Response) -> Response:  # noqa: ARG002
        """Return the debugger's answer as it is to be seen."""
        return response

    def change_event(self, event: Event) -> Event | None:
        """Return an event of the debugger as it is to be seen; None keeps it back."""
        return event

    def editor_left(self) -> None:
        """The editor is gone: forget what it alone has set."""


@dataclass(frozen=True)
class Extension:
    """A kind of interceptor, and the `capabilities` that `initialize` tells an editor because of it."""

    make: Callable[[Debuggee], Interceptor]
    capabilities: Mapping[str, Any] = field(default_factory=dict)
