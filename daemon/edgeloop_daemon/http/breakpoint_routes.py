"""The routes of the breakpoints that a workspace keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeloop_daemon.debugging.breakpoints import Breakpoint, Breakpoints, Kind, NewBreakpoint, checked
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared.errors import BundleError, ConflictError


@dataclass(frozen=True)
class BreakpointsQuery:
    """Which breakpoints to list: all, or those of a kind."""

    kind: Kind | None = None


@dataclass(frozen=True)
class BreakpointItems:
    """Breakpoints, in the order in which they were added."""

    items: tuple[Breakpoint, ...]


def breakpoint_routes(
    breakpoints: Breakpoints, workspaces: Workspaces, on_change: Sequence[Callable[[str], None]]
) -> tuple[Route, ...]:
    """Return the routes; all of `on_change` are told of which workspace the breakpoints have changed."""

    def changed(workspace: str) -> None:
        for tell in on_change:
            tell(workspace)

    async def list_breakpoints(call: Call) -> BreakpointItems:
        workspace = await workspaces.get(call.path["workspace"])
        return BreakpointItems(await breakpoints.list(workspace.id, call.query.kind))

    async def add_breakpoint(call: Call) -> Breakpoint:
        workspace = await workspaces.get(call.path["workspace"])
        new = await asyncio.to_thread(checked, Path(workspace.path), call.body)
        made = await breakpoints.add(workspace.id, new)
        changed(workspace.id)
        return made

    async def remove_breakpoint(call: Call) -> None:
        await breakpoints.remove(call.path["workspace"], call.path["breakpoint"])
        changed(call.path["workspace"])

    tag = "debugging"
    every = "/workspaces/{workspace:w[0-9a-z]+}/breakpoints"
    one = every + "/{breakpoint:b[0-9a-z]+}"
    return (
        Route(
            *("GET", every, "list_breakpoints", "List a workspace's breakpoints.", list_breakpoints, BreakpointItems),
            query=BreakpointsQuery,
            tag=tag,
        ),
        Route(
            *("POST", every, "add_breakpoint", "Keep a breakpoint with a workspace.", add_breakpoint, Breakpoint),
            body=NewBreakpoint,
            status=201,
            tag=tag,
            errors=(BundleError, ConflictError),
        ),
        Route("DELETE", one, "remove_breakpoint", "Forget a breakpoint.", remove_breakpoint, tag=tag),
    )
