"""Feeds as server-sent events (the WHATWG HTML standard's `text/event-stream`), for editors and curl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from aiohttp import web

from edgeloop_daemon.devices.runs import LogPage as RunLogPage
from edgeloop_daemon.events.event_log import EventPage
from edgeloop_daemon.http.guards import TOKEN_NAME
from edgeloop_daemon.http.streams import CLOSE_SLOW, Streams
from edgeloop_daemon.jobs.log_page import LogPage as JobLogPage
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import InvalidInputError

STALL_SECONDS = 30.0
"""A peer that takes nothing for so long is dropped."""
MEDIA = "text/event-stream"
_RETRY = b"retry: 1000\n\n"
Page = TypeVar("Page")


def last_event_id(request: web.Request) -> int | None:
    """Return the position that a peer which comes back has reached. Raises `InvalidInputError`."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInputError("The header Last-Event-ID is no position.", hint="Send the `id` of the last event.")
    return int(text)


async def serve_feed(
    request: web.Request, streams: Streams, feed: AsyncIterator[Page], render: Callable[[Page], Iterator[bytes]]
) -> web.StreamResponse:
    """Answer with a feed until it ends, the peer goes or falls asleep, the token is revoked or the daemon stops.

    An error before the feed's first page is an ordinary answer. Raises `RateLimitedError`.
    """
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = MEDIA
    async with streams.opened(request[TOKEN_NAME]) as stream:
        async for page in feed:
            if not response.prepared:
                await response.prepare(request)
                await response.write(_RETRY)
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await response.write(b"".join(render(page)) or b": keep-alive\n\n")
            except TimeoutError:
                stream.end(CLOSE_SLOW, "the client reads too slowly")
    if not response.prepared:
        await response.prepare(request)
    if stream.code == CLOSE_SLOW and request.transport is not None:
        request.transport.abort()
    else:
        await response.write_eof()
    response.force_close()
    return response


def render_events(page: EventPage) -> Iterator[bytes]:
    """Yield each event as `id: <cursor>`, `event: <kind>` and the event as JSON; a `reset` comes before them."""
    if page.reset is not None:
        yield sent_event("reset", page.reset.resumes, page.reset)
    for event in page.items:
        yield sent_event(event.kind, event.cursor, event)
    if not page.items:  # nothing to see, but the peer need not read again what was not for it
        yield b": keep-alive\nid: %d\n\n" % page.next


def render_log(page: JobLogPage | RunLogPage) -> Iterator[bytes]:
    """Yield a piece of a log as `log` with `id: <next_offset>`, and `end` when nothing will follow."""
    has_content = page.text if isinstance(page, JobLogPage) else page.items
    if has_content:
        yield sent_event("log", page.next_offset, page)
    if page.ended:
        yield sent_event("end", page.next_offset, {})


def sent_event(name: str, position: int, value: Any) -> bytes:
    """Return one event; `position` is what a peer that comes back names in `Last-Event-ID`."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, name.encode(), encode_json(value))
