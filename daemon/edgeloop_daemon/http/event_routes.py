"""Routes on the log of events: as pages, as server-sent events, and as part of the one WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field

from aiohttp import web

from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.events.event_log import MAX_PAGE, EventLog, EventPage
from edgeloop_daemon.events.kinds import KINDS
from edgeloop_daemon.http.feeds import choice_of, follow_events
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.server_sent_events import MEDIA, last_event_id, render_events, serve_feed
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.websocket import Sources, serve_websocket
from edgeloop_daemon.jobs.jobs import Jobs

_SINCE = {"ge": 0, "lt": 2**63, "description": "The cursor behind which to begin."}
_KIND = "|".join(sorted({re.escape(word) for kind in KINDS for word in (kind, kind.partition(".")[0])}))
_KINDS = {
    # Only told: `choice_of` checks it, whose error names the kinds.
    "json_schema_extra": {"pattern": f"^(({_KIND})(,({_KIND}))*)?$", "maxLength": 1000},
    "description": "Kinds (`job.failed`) and groups of them (`job`), separated by commas; all by default.",
}
_WORKSPACE = {"max_length": 64, "description": "Only events of this workspace, and those that belong to none."}


@dataclass(frozen=True)
class EventsQuery:
    """Which events to return. `wait` is how many seconds to wait for one."""

    since: int | None = field(default=None, metadata=_SINCE)
    newest: bool = field(default=False, metadata={"description": "Without `since`: the newest, not the oldest."})
    limit: int = field(default=100, metadata={"ge": 1, "le": MAX_PAGE})
    kinds: str = field(default="", metadata=_KINDS)
    workspace: str | None = field(default=None, metadata=_WORKSPACE)
    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class EventStreamQuery:
    """Which events to follow; without `since` and without the header `Last-Event-ID` from now on."""

    since: int | None = field(default=None, metadata=_SINCE)
    kinds: str = field(default="", metadata=_KINDS)
    workspace: str | None = field(default=None, metadata=_WORKSPACE)


def event_routes(log: EventLog, jobs: Jobs, runs: Runs, streams: Streams) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_events(call: Call) -> EventPage:
        query: EventsQuery = call.query
        choice = choice_of(_kinds(query.kinds), query.workspace)
        if query.newest and query.since is None:
            page = await log.newest(limit=query.limit, choice=choice)
        else:
            page = await log.page(query.since, limit=query.limit, choice=choice)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(query.wait):
                while not page.items and page.reset is None:
                    await log.wait(page.next)
                    page = await log.page(page.next, limit=query.limit, choice=choice)
        return page

    async def stream_events(call: Call) -> web.StreamResponse:
        query: EventStreamQuery = call.query
        choice = choice_of(_kinds(query.kinds), query.workspace)
        position = last_event_id(call.request)
        feed = follow_events(log, query.since if position is None else position, choice)
        return await serve_feed(call.request, streams, feed, render_events)

    async def open_websocket(call: Call) -> web.StreamResponse:
        return await serve_websocket(call.request, streams, Sources(log, jobs, runs))

    return (
        Route(
            *("GET", "/events", "list_events", "List what has happened, the oldest first.", list_events),
            result=EventPage,
            query=EventsQuery,
            tag="events",
        ),
        Route(
            *("GET", "/events/stream", "stream_events", "Follow what happens, as server-sent events.", stream_events),
            query=EventStreamQuery,
            media=MEDIA,
            tag="events",
        ),
        Route(
            *("GET", "/ws", "open_websocket", "Follow events and logs over one WebSocket.", open_websocket),
            status=101,
            tag="events",
        ),
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
