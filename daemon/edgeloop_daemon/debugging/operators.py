"""Breakpoints on operators in an editor: function breakpoints named `op:...`, and data breakpoints on an operator's tensors.

debugpy knows nothing of operators. The worker stops there by itself, in the frame whose call ran the model; what the editor
shows of the operator beside that frame is `operator_scopes`' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from edgeloop_daemon.debugging.dap import Event, Request, Response, breakpoints_of
from edgeloop_daemon.debugging.debugger import OnAnswer
from edgeloop_daemon.debugging.interceptors import Debuggee, Extension, Interceptor
from edgeloop_daemon.debugging.live_breakpoints import LiveBreakpoints
from edgeloop_daemon.debugging.operator_scopes import OperatorScopes
from edgeloop_daemon.devices.operator_control import OperatorControl
from edgeloop_daemon.devices.runs import Runs
from edgeloop_shared.errors import EdgeloopError, NotFoundError
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS, OperatorBreakpointOrder
from edgeloop_shared.operator_stops import OperatorsMatched, matched_words

PREFIX = "op:"
STOP_REASON = "function breakpoint"
DEFAULT_DATA_CONDITION = "nan_count > 0 or inf_count > 0"
_FIRST_ID = 2_000_000
_WAITS = "The model has not run yet."


def operator_extension(runs: Runs, live: LiveBreakpoints, control: OperatorControl) -> Extension:
    """Return what teaches debug sessions about operators."""
    return Extension(
        lambda debuggee: OperatorInterceptor(debuggee, runs, live, control), {"supportsDataBreakpoints": True}
    )


class OperatorInterceptor(Interceptor):
    """The operators of one session."""

    def __init__(self, debuggee: Debuggee, runs: Runs, live: LiveBreakpoints, control: OperatorControl) -> None:
        super().__init__(debuggee)
        self._runs = runs
        self._live = live
        self._scopes = OperatorScopes(debuggee, runs, control)
        self._functions: tuple[OperatorBreakpointOrder, ...] = ()
        self._data: tuple[OperatorBreakpointOrder, ...] = ()
        self._told: dict[str, bool] = {}  # by a breakpoint's id, whether it is verified
        self._watched = ""  # the run whose matches are followed

    async def begin(self) -> None:
        """Set the editor's again in a run that was started anew; what the workspace keeps travels with every run."""
        if self._functions or self._data:
            self._told = {}
            await self._apply()

    def take_request(self, request: Request, answer: OnAnswer) -> bool:
        """Answer what is about operators."""
        match request.command:
            case "setFunctionBreakpoints":
                self.debuggee.spawn(self._set_functions(request, answer))
            case "setDataBreakpoints":
                self.debuggee.spawn(self._set_data(request, answer))
            case "dataBreakpointInfo":
                answer(request.answered(self._scopes.data_info(request.arguments)))
            case _:
                return self._scopes.take_request(request, answer)
        return True

    def change_response(self, request: Request, response: Response) -> Response:
        """Learn which frame is the top one."""
        self._scopes.see_response(request, response)
        return response

    def change_event(self, event: Event) -> Event | None:
        """Learn whether it stands at an operator."""
        if event.event == "stopped":
            self._scopes.stopped(event.body, at_operator=event.body.get("reason") == STOP_REASON)
        elif event.event == "continued":
            self._scopes.continued()
        return event

    def editor_left(self) -> None:
        """The editor's breakpoints go with it."""
        if self._functions or self._data:
            self._functions = self._data = ()
            self.debuggee.spawn(self._apply())

    async def _set_data(self, request: Request, answer: OnAnswer) -> None:
        self._data, found = _orders("d", breakpoints_of(request.arguments), _data_order)
        await self._apply()
        answer(request.answered({"breakpoints": found}))

    async def _set_functions(self, request: Request, answer: OnAnswer) -> None:
        wanted = breakpoints_of(request.arguments)
        mine = [one for one in wanted if _is_operator(one)]
        self._functions, found = _orders("f", mine, _function_order)
        await self._apply()
        others = [one for one in wanted if not _is_operator(one)]

        def merge(response: Response) -> None:
            theirs = iter(breakpoints_of(response.body)) if response.success else iter(())
            ours = iter(found)
            merged = [next(ours) if _is_operator(one) else next(theirs, {"verified": False}) for one in wanted]
            answer(request.answered({"breakpoints": merged}))

        self.debuggee.ask("setFunctionBreakpoints", {**request.arguments, "breakpoints": others}, merge)

    async def _apply(self) -> None:
        orders = (*self._functions, *self._data)[:MAX_BREAKPOINTS]
        run_id = self.debuggee.run
        self._told = {one.id: self._told[one.id] for one in orders if one.id in self._told}
        await self._live.edit(run_id, orders)
        if orders and self._watched != run_id:
            self._watched = run_id
            self.debuggee.spawn(self._follow_matches(run_id))

    async def _follow_matches(self, run_id: str) -> None:
        """Tell the editor what its breakpoints have found, as soon as a model has run."""
        with suppress(NotFoundError):
            while self.debuggee.run == run_id:
                changed = self._runs.change(run_id)
                for matched in await self._runs.operator_matches(run_id):
                    self._tell_matches(matched)
                if (await self._runs.get(run_id)).state.is_terminal:
                    return
                await changed.wait()

    def _tell_matches(self, matched: OperatorsMatched) -> None:
        known = {one.id: number for number, one in enumerate((*self._functions, *self._data))}
        if matched.id not in known or self._told.get(matched.id) or self._told.get(matched.id) == (matched.count > 0):
            return
        self._told[matched.id] = matched.count > 0
        found = {
            "id": _dap_id(matched.id),
            "verified": matched.count > 0,
            "message": matched_words(matched),
        }
        self.debuggee.tell("breakpoint", {"reason": "changed", "breakpoint": found})


def _is_operator(one: Mapping[str, Any]) -> bool:
    return str(one.get("name", "")).startswith(PREFIX)


def _function_order(name: str, one: Mapping[str, Any]) -> OperatorBreakpointOrder:
    return OperatorBreakpointOrder(
        id=name,
        selector=str(one.get("name", "")),
        when=_text(one, "condition"),
        action="wait",
        hit=_text(one, "hitCondition"),
    )


def _data_order(name: str, one: Mapping[str, Any]) -> OperatorBreakpointOrder:
    return OperatorBreakpointOrder(
        id=name,
        selector=str(one.get("dataId", "")),
        when=_text(one, "condition") or DEFAULT_DATA_CONDITION,
        action="wait",
        hit=_text(one, "hitCondition"),
    )


def _orders(
    letter: str, wanted: Sequence[Mapping[str, Any]], make: Any
) -> tuple[tuple[OperatorBreakpointOrder, ...], list[dict[str, Any]]]:
    """Return the orders for what an editor wants, and what it is answered at once."""
    orders: list[OperatorBreakpointOrder] = []
    found: list[dict[str, Any]] = []
    for number, one in enumerate(wanted[:MAX_BREAKPOINTS], 1):
        try:
            orders.append(make(f"{letter}{number}", one))
            found.append({"id": _dap_id(orders[-1].id), "verified": False, "message": _WAITS})
        except EdgeloopError as error:
            found.append({"verified": False, "message": str(error)})
    found += [{"verified": False, "message": f"A run takes {MAX_BREAKPOINTS} of these."}] * (len(wanted) - len(found))
    return tuple(orders), found


def _dap_id(name: str) -> int:
    return _FIRST_ID + 1000 * (name[0] == "d") + int(name[1:])


def _text(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name)
    return value.strip() or None if isinstance(value, str) else None
