"""Routes on the traces of runs."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.feeds import QUIET_SECONDS
from edgeloop_daemon.http.paging import CURSOR, LIMIT, cut, position_of
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.server_sent_events import MEDIA, last_event_id, sent_event, serve_feed
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.traces.comparison import TraceComparison, compare_traces
from edgeloop_daemon.traces.export import chrome_trace_pieces
from edgeloop_daemon.traces.span_tree import SpanRow
from edgeloop_daemon.traces.store import TraceItem, TraceStore
from edgeloop_daemon.traces.stored_trace import TopItem
from edgeloop_daemon.traces.summary import TraceSummary, summary_of
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.models import RunState

_END_SECONDS = 1.0  # behind the end of a run: what tells of it is recorded right after
PACE_SECONDS = 0.5
"""A trace that grows is told anew at most this often."""


@dataclass(frozen=True)
class TracesQuery:
    """Which traces to list."""

    workspace: str | None = None
    limit: int = field(default=100, metadata=LIMIT)
    cursor: str | None = field(default=None, metadata=CURSOR)


@dataclass(frozen=True)
class TraceQuery:
    """With `wait` seconds, answer when the trace's `size` is more than `since` or the run has ended, or when that time is over."""

    since: int = field(default=-1, metadata={"ge": -1, "lt": 2**63})
    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class TopQuery:
    """How to group operators, how many groups to return, and of which session (null: of all)."""

    by: Literal["operator", "type", "session"] = "operator"
    limit: int = field(default=100, metadata=LIMIT)
    session: int | None = field(default=None, metadata={"ge": 0, "lt": 2**32})


@dataclass(frozen=True)
class TraceItems:
    """Traces, the newest first."""

    items: tuple[TraceItem, ...]
    next: str | None


@dataclass(frozen=True)
class TopItems:
    """What took longest, first."""

    items: tuple[TopItem, ...]


@dataclass(frozen=True)
class SpanItems:
    """The tree of spans, depth first."""

    items: tuple[SpanRow, ...]


def trace_routes(runs: Runs, traces: TraceStore, streams: Streams) -> tuple[Route, ...]:
    """Return the routes."""

    async def next_summary(run_id: str, since: int, wait: float) -> TraceSummary:
        """Return the summary once there is more than `since`. Raises `NotFoundError` when there is no trace until then."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait
        while True:
            changed = runs.change(run_id)
            run = await runs.get(run_id)
            is_last = run.state.is_terminal or clock() >= deadline
            try:
                trace = await traces.read(run.id)
                found = await asyncio.to_thread(summary_of, trace, run)
                if found.size > since or is_last:
                    return found
            except NotFoundError:
                if is_last:
                    raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await changed.wait()

    async def list_traces(call: Call) -> TraceItems:
        query: TracesQuery = call.query
        found = await traces.list(query.workspace, query.limit + 1, position_of(query.cursor))
        return TraceItems(*cut(found, query.limit, lambda item: (item.created_at, item.run)))

    async def export_trace(call: Call) -> web.StreamResponse:
        run = await runs.get(call.path["run"])
        trace = await traces.read(run.id)
        end = math.inf if run.ended_at is None else run.ended_at + _END_SECONDS
        moments = await traces.moments(run.workspace, run.created_at, end)
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "application/json"
        await response.prepare(call.request)
        async for piece in chrome_trace_pieces(traces, trace, process_name=run.script, moments=moments):
            await response.write(piece)
        await response.write_eof()
        return response

    async def get_summary(call: Call) -> TraceSummary:
        return await next_summary(call.path["run"], call.query.since, call.query.wait)

    async def get_operators(call: Call) -> TopItems:
        query: TopQuery = call.query
        await runs.get(call.path["run"])
        trace = await traces.read(call.path["run"])
        found = await asyncio.to_thread(trace.top, query.by, query.session)
        return TopItems(found[: query.limit])

    async def get_spans(call: Call) -> SpanItems:
        await runs.get(call.path["run"])
        trace = await traces.read(call.path["run"])
        return SpanItems(await asyncio.to_thread(trace.tree))

    async def compare(call: Call) -> TraceComparison:
        names = call.path["run"], call.path["reference"]
        for name in names:
            await runs.get(name)
        return await compare_traces(traces, *names)

    async def follow(run_id: str, since: int) -> AsyncIterator[TraceSummary]:
        while True:
            found = await next_summary(run_id, since, QUIET_SECONDS)
            yield found
            if _has_ended(found):
                return
            since = found.size
            await asyncio.sleep(PACE_SECONDS)

    async def stream_trace(call: Call) -> web.StreamResponse:
        position = last_event_id(call.request)
        feed = follow(call.path["run"], -1 if position is None else position)
        return await serve_feed(call.request, streams, feed, _render)

    return (
        Route(
            "GET",
            "/traces",
            "list_traces",
            "List traces.",
            list_traces,
            result=TraceItems,
            query=TracesQuery,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace",
            "get_run_trace",
            "Export a run's trace in Chrome's format, streamed.",
            export_trace,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace/summary",
            "get_trace_summary",
            "Show what a trace holds, also while it grows.",
            get_summary,
            result=TraceSummary,
            query=TraceQuery,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace/operators",
            "get_trace_operators",
            "Show which operators, types or sessions took longest.",
            get_operators,
            result=TopItems,
            query=TopQuery,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace/spans",
            "get_trace_spans",
            "Show the tree of a trace's spans.",
            get_spans,
            result=SpanItems,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace/compare/{reference}",
            "compare_traces",
            "Show which operators take longer in a run than in another.",
            compare,
            result=TraceComparison,
            tag="traces",
        ),
        Route(
            "GET",
            "/runs/{run}/trace/stream",
            "stream_trace",
            "Follow what a trace holds.",
            stream_trace,
            media=MEDIA,
            tag="traces",
        ),
    )


def _has_ended(found: TraceSummary) -> bool:
    return RunState(found.state).is_terminal


def _render(found: TraceSummary) -> Iterator[bytes]:
    yield sent_event("trace", found.size, found)
    if _has_ended(found):
        yield sent_event("end", found.size, {})
