"""Routes on runs: scripts of a workspace on a device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from aiohttp import web

from edgeloop_daemon.debugging.breakpoints import Breakpoints, NewBreakpoint
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.devices.run_table import Metric, Run
from edgeloop_daemon.devices.runs import LogPage, Runs
from edgeloop_daemon.http.feeds import follow_run_log
from edgeloop_daemon.http.paging import CURSOR, LIMIT, PREFIX, cut, position_of
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.server_sent_events import MEDIA, last_event_id, render_log, serve_feed
from edgeloop_daemon.http.streams import Streams
from edgeloop_shared.models import MAX_MEMORY_MB, MIN_MEMORY_MB, DebugMode
from edgeloop_shared.operator_breakpoints import MAX_BREAKPOINTS

FindWorkspace = Callable[[str], Awaitable[RunWorkspace]]
"""Returns the open, trusted workspace with an id. Raises `NotFoundError` and `NotTrustedError`."""


@dataclass(frozen=True)
class StartRun:
    """What to run. `device` is an id or a name (null: the workspace's, else the only linked one).

    `memory_mb` is what the script may allocate, in MiB (null: the workspace's setting, else the device's own bound). `debug`
    begins it under a debugger; `wait` lets it wait until one has attached, for at most ten minutes.
    Breakpoints on operators are the `breakpoints` (of the kind `operator`) and, with `kept_breakpoints`, those of the workspace.
    """

    script: str = field(metadata={"min_length": 1, "max_length": 512})
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    device: str | None = None
    include: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    trace: bool = False
    memory_mb: int | None = field(default=None, metadata={"ge": MIN_MEMORY_MB, "le": MAX_MEMORY_MB})
    debug: DebugMode = "off"
    breakpoints: tuple[NewBreakpoint, ...] = field(default=(), metadata={"max_length": MAX_BREAKPOINTS})
    kept_breakpoints: bool = True


@dataclass(frozen=True)
class RunsQuery:
    """Which runs to list."""

    workspace: str | None = None
    device: str | None = None
    prefix: str | None = field(default=None, metadata=PREFIX)
    limit: int = field(default=100, metadata=LIMIT)
    cursor: str | None = field(default=None, metadata=CURSOR)


@dataclass(frozen=True)
class RunQuery:
    """How many seconds to wait for the end of the run."""

    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class RunLogQuery:
    """Which part of the output: `offset` is zero or an earlier answer's `next_offset`, `limit` is in bytes, roughly."""

    offset: int = field(default=0, metadata={"ge": 0, "lt": 2**63})
    limit: int = field(default=65536, metadata={"ge": 1, "le": 1024**2})
    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class RunLogStreamQuery:
    """Where to begin: zero, or an earlier answer's `next_offset`; the header `Last-Event-ID` goes before it."""

    offset: int = field(default=0, metadata={"ge": 0, "lt": 2**63})


@dataclass(frozen=True)
class RunItems:
    """Runs, the newest first."""

    items: tuple[Run, ...]
    next: str | None


@dataclass(frozen=True)
class RunMetricItems:
    """Metrics by name and step."""

    items: tuple[Metric, ...]


def run_routes(
    runs: Runs, find_workspace: FindWorkspace, breakpoints: Breakpoints, streams: Streams
) -> tuple[Route, ...]:
    """Return the routes."""

    async def start_run(call: Call) -> Accepted:
        body: StartRun = call.body
        workspace = await find_workspace(call.path["workspace"])
        run = await runs.start(
            workspace,
            body.script,
            body.arguments,
            device=body.device,
            include=body.include,
            trace=body.trace,
            memory_mb=body.memory_mb,
            debug=body.debug,
            breakpoints=await breakpoints.for_run(workspace.id, body.breakpoints, with_kept=body.kept_breakpoints),
            also=call.begins("/runs"),
        )
        return Accepted(f"/runs/{run.id}", run)

    async def list_runs(call: Call) -> RunItems:
        query: RunsQuery = call.query
        found = await runs.list(query.workspace, query.device, query.limit + 1, position_of(query.cursor), query.prefix)
        return RunItems(*cut(found, query.limit, lambda run: (run.created_at, run.id)))

    async def get_run(call: Call) -> Run:
        return await runs.get(call.path["run"], call.query.wait)

    async def cancel_run(call: Call) -> Run:
        return await runs.cancel(call.path["run"])

    async def get_log(call: Call) -> LogPage:
        query: RunLogQuery = call.query
        return await runs.log(call.path["run"], query.offset, query.limit, query.wait)

    async def stream_log(call: Call) -> web.StreamResponse:
        position = last_event_id(call.request)
        feed = follow_run_log(runs, call.path["run"], call.query.offset if position is None else position)
        return await serve_feed(call.request, streams, feed, render_log)

    async def get_metrics(call: Call) -> RunMetricItems:
        return RunMetricItems(await runs.metrics(call.path["run"]))

    async def get_file(call: Call) -> web.StreamResponse:
        file, path = await runs.file(call.path["run"], call.path["name"])
        # The name and the bytes are the device's: never anything that a browser would show or run.
        shown = quote(PurePosixPath(file.name).name, safe="")
        return web.FileResponse(
            path,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{shown}",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "no-store",
            },
        )

    return (
        Route(
            *("POST", "/workspaces/{workspace:w[0-9a-z]+}/runs", "start_run", "Run a script on a device.", start_run),
            result=Run,
            body=StartRun,
            status=202,
            tag="runs",
        ),
        Route("GET", "/runs", "list_runs", "List runs.", list_runs, result=RunItems, query=RunsQuery, tag="runs"),
        Route("GET", "/runs/{run}", "get_run", "Show a run.", get_run, result=Run, query=RunQuery, tag="runs"),
        Route("DELETE", "/runs/{run}", "cancel_run", "Cancel a run.", cancel_run, result=Run, tag="runs"),
        Route(
            *("GET", "/runs/{run}/log", "get_run_log", "Read a run's output.", get_log),
            result=LogPage,
            query=RunLogQuery,
            tag="runs",
        ),
        Route(
            *("GET", "/runs/{run}/log/stream", "stream_run_log", "Follow a run's output.", stream_log),
            query=RunLogStreamQuery,
            media=MEDIA,
            tag="runs",
        ),
        Route(
            *("GET", "/runs/{run}/metrics", "get_run_metrics", "List a run's metrics.", get_metrics),
            result=RunMetricItems,
            tag="runs",
        ),
        Route(
            *("GET", "/runs/{run}/files/{name:.+}", "get_run_file", "Download a file that a run reported.", get_file),
            media="application/octet-stream",
            tag="runs",
        ),
    )
