"""How every WebSocket of the API is opened and closed: counted as a stream, kept awake, and closed with that stream's reason."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from edgeloop_daemon.http.guards import PROTOCOL, TOKEN_NAME
from edgeloop_daemon.http.streams import Stream, Streams
from edgeloop_shared.errors import InvalidInputError

CLOSE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 20.0
_MAX_REASON_BYTES = 120  # the protocol takes 123


@contextlib.asynccontextmanager
async def opened_socket(
    request: web.Request, streams: Streams, *, max_bytes: int, hint: str
) -> AsyncIterator[tuple[web.WebSocketResponse, Stream]]:
    """Answer a request with a socket for the block, which is left early when its stream is ended.

    Messages have at most `max_bytes` bytes. Raises `RateLimitedError`, and `InvalidInputError` with `hint` for a request that is
    no upgrade.
    """
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_SECONDS,
        max_msg_size=max_bytes,
        protocols=(PROTOCOL,),
        compress=False,
        timeout=CLOSE_SECONDS,
    )
    if not socket.can_prepare(request):
        raise InvalidInputError("This address speaks WebSocket only.", hint=hint)
    async with streams.opened(request[TOKEN_NAME]) as stream:
        await socket.prepare(request)
        yield socket, stream
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2 * CLOSE_SECONDS):
            await socket.close(code=stream.code, message=stream.reason.encode()[:_MAX_REASON_BYTES])
