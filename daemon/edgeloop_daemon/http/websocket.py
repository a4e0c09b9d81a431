"""One WebSocket per window that carries everything which is followed: events, logs of jobs, logs of runs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import TypeAdapter

from edgeloop_daemon.devices.runs import LogPage as RunLogPage
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.events.event_log import EventLog, EventPage
from edgeloop_daemon.http.feeds import choice_of, follow_events, follow_job_log, follow_run_log
from edgeloop_daemon.http.server_sent_events import STALL_SECONDS
from edgeloop_daemon.http.sockets import opened_socket
from edgeloop_daemon.http.streams import CLOSE_SLOW, Stream, Streams
from edgeloop_daemon.http.validation import validate_json
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.jobs.log_page import LogPage as JobLogPage
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import ConflictError, EdgeloopError, InvalidInputError

MAX_MESSAGE_BYTES = 16 * 1024
MAX_SUBSCRIPTIONS = 64
_ID = {"min_length": 1, "max_length": 64}

Topic = Literal["events", "job-log", "run-log"]
Feed = AsyncIterator[EventPage] | AsyncIterator[JobLogPage] | AsyncIterator[RunLogPage]


@dataclass(frozen=True)
class Request:
    """What a client says. `id` is its own name for the subscription.

    `since` is the cursor, or the offset of a log, behind which it begins: for events null means from now on, for a log from
    its beginning. `work` is the job or the run whose log is meant; `kinds` and `workspace` choose events.
    """

    type: Literal["subscribe", "unsubscribe"]
    id: str = field(metadata=_ID)
    topic: Topic = "events"
    since: int | None = field(default=None, metadata={"ge": 0, "lt": 2**63})
    work: str | None = field(default=None, metadata={"max_length": 64})
    kinds: tuple[str, ...] = field(default=(), metadata={"max_length": 64})
    workspace: str | None = field(default=None, metadata={"max_length": 64})


@dataclass(frozen=True)
class Sources:
    """What can be followed."""

    log: EventLog
    jobs: Jobs
    runs: Runs


@functools.cache  # made with the first message: at the start somebody waits
def _adapter() -> TypeAdapter[Request]:
    return TypeAdapter(Request)


async def serve_websocket(request: web.Request, streams: Streams, sources: Sources) -> web.StreamResponse:
    """Answer a client's subscriptions until it goes, falls asleep, its token is revoked or the daemon stops.

    Raises `RateLimitedError`, and `InvalidInputError` for a request that is no upgrade.
    """
    hint = "`GET /api/v1/events` answers with JSON."
    async with (
        opened_socket(request, streams, max_bytes=MAX_MESSAGE_BYTES, hint=hint) as (socket, stream),
        _Conversation(socket, stream, sources) as conversation,
    ):
        await conversation.listen()
    return socket


class _Conversation:
    """One socket with its subscriptions."""

    def __init__(self, socket: web.WebSocketResponse, stream: Stream, sources: Sources) -> None:
        self._socket = socket
        self._stream = stream
        self._sources = sources
        self._subscriptions: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> _Conversation:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = tuple(self._subscriptions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def listen(self) -> None:
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                self._stream.end(WSCloseCode.UNSUPPORTED_DATA, "only text is understood")
                continue
            name = None
            try:
                request = validate_json(_adapter(), frame.data.encode("utf-8", "surrogatepass"))
                name = request.id
                if request.type == "subscribe":
                    self._subscribe(request)
                else:
                    await self._unsubscribe(request.id)
            except EdgeloopError as error:
                await self._send("error", name, error=error.as_dict())

    def _subscribe(self, request: Request) -> None:
        if request.id in self._subscriptions:
            raise ConflictError(f"There is a subscription {request.id!r} already.", hint="Unsubscribe it first.")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ConflictError(f"{MAX_SUBSCRIPTIONS} subscriptions are open.", hint="Unsubscribe one first.")
        task = asyncio.create_task(self._carry(request.id, self._feed(request)))
        self._subscriptions[request.id] = task

    async def _unsubscribe(self, name: str) -> None:
        task = self._subscriptions.pop(name, None)
        if task is None:
            raise InvalidInputError(f"There is no subscription {name!r}.", hint="It may have ended.")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._send("unsubscribed", name)

    def _feed(self, request: Request) -> Feed:
        sources = self._sources
        if request.topic == "events":
            return follow_events(sources.log, request.since, choice_of(request.kinds, request.workspace))
        if request.work is None:
            raise InvalidInputError("A log is that of a job or a run.", hint="Name it as `work`.")
        if request.topic == "job-log":
            return follow_job_log(sources.jobs, request.work, request.since or 0)
        return follow_run_log(sources.runs, request.work, request.since or 0)

    async def _carry(self, name: str, feed: Feed) -> None:
        """Send a feed until it ends. The first message names the position from which on it is followed."""
        is_first = True
        try:
            async for page in feed:
                if is_first or _has_news(page):
                    await self._send("events" if isinstance(page, EventPage) else "log", name, page=page)
                is_first = False
            await self._send("ended", name)
        except EdgeloopError as error:
            await self._send("error", name, error=error.as_dict())
        except ConnectionError:
            pass  # the client has gone, which `listen` sees as well
        finally:
            if self._subscriptions.get(name) is asyncio.current_task():
                del self._subscriptions[name]

    async def _send(self, kind: str, name: str | None, **content: Any) -> None:
        text = encode_json({"type": kind, "id": name, **content}).decode()
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._socket.send_str(text)
        except TimeoutError:
            self._stream.end(CLOSE_SLOW, "the client reads too slowly; it can go on from the last cursor that it has")


def _has_news(page: EventPage | JobLogPage | RunLogPage) -> bool:
    if isinstance(page, EventPage):
        return bool(page.items or page.reset)
    return bool(page.text if isinstance(page, JobLogPage) else page.items)
