"""What goes between an editor and the debugger of a session, and what the session itself learns from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgeloop_daemon.debugging.configuration import Configuration
from edgeloop_daemon.debugging.dap import Body, Event, Request, Response
from edgeloop_daemon.debugging.debugger import OnAnswer
from edgeloop_daemon.debugging.interceptors import Interceptor
from edgeloop_daemon.debugging.stops import Stops
from edgeloop_daemon.events.kinds import DebugOutput, Occurrence

if TYPE_CHECKING:
    from edgeloop_daemon.debugging.session import DebugSession

PASSED = frozenset(
    (
        *("threads", "pause", "continue", "next", "stepIn", "stepInTargets", "stepOut", "gotoTargets", "goto"),
        *("stackTrace", "scopes", "variables", "setVariable", "evaluate", "setExpression", "completions"),
        *("source", "modules", "exceptionInfo", "setFunctionBreakpoints"),
    )
)
"""Requests that go to the debugger, unless an interceptor takes them. debugpy answers an unknown one never."""
_MAX_OUTPUTS = 500


class Traffic:
    """Requests on their way there and events on their way back, in the order in which they come."""

    def __init__(
        self,
        session: DebugSession,
        interceptors: Sequence[Interceptor],
        configuration: Configuration,
        stops: Stops,
        record: Callable[[Occurrence], None],
    ) -> None:
        self._session = session
        self._interceptors = interceptors
        self._configuration = configuration
        self._stops = stops
        self._record = record
        self._outputs = 0

    def pass_on(self, request: Request, on_answer: OnAnswer) -> None:
        """Have a request answered by an interceptor or the debugger."""

        def changed(response: Response) -> None:
            for interceptor in self._interceptors:
                response = interceptor.change_response(request, response)
            on_answer(response)

        if request.command == "setFunctionBreakpoints":
            self._configuration.functions = request.arguments
        for interceptor in self._interceptors:
            if interceptor.take_request(request, on_answer):
                return
        if request.command not in PASSED:
            on_answer(request.failed(f"edgeloop has no request `{request.command[:64]}`."))
            return
        self._session.ask(request.command, request.arguments, changed)

    def heard(self, event: Event) -> None:
        """Take an event of the debugger."""
        changed: Event | None = event
        for interceptor in self._interceptors:
            changed = interceptor.change_event(event)
            if changed is None:
                return
            event = changed
        match event.event:
            case "initialized" | "process" | "terminated" | "exited":
                return  # these are said by the session itself, once
            case "breakpoint":
                found = event.body.get("breakpoint")
                lines = self._configuration.lines
                if isinstance(found, dict) and not lines.changed(found):
                    self._session.verified(lines.verified)
                    return
            case "stopped":
                if self._configuration.entered() and event.body.get("reason") == "breakpoint":
                    event = Event(event.seq, event.event, {**event.body, "reason": "entry"})
                self._stops.stopped(event.body)
            case "continued":
                self._stops.continued()
            case "output":
                self._logged(event.body)
        self._session.tell(event.event, event.body)

    def _logged(self, body: Body) -> None:
        """Note what a logpoint prints: without an editor nobody else would see it."""
        if self._outputs < _MAX_OUTPUTS:
            self._outputs += 1
            self._record(DebugOutput(self._session.id, str(body.get("output", "")).rstrip("\n")[:1000]))
