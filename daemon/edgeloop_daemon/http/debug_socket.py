"""An editor's Debug Adapter Protocol over a WebSocket: binary frames whose bytes, put together, are the protocol's stream."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from edgeloop_daemon.debugging.editor import Editor
from edgeloop_daemon.debugging.session import DebugSession
from edgeloop_daemon.debugging.sessions import DebugSessions
from edgeloop_daemon.http.guards import PROTOCOL, TOKEN_NAME
from edgeloop_daemon.http.server_sent_events import STALL_SECONDS
from edgeloop_daemon.http.streams import CLOSE_SLOW, Stream, Streams
from edgeloop_shared.eager import EagerSender
from edgeloop_shared.errors import InvalidInputError, MessageError

MAX_FRAME_BYTES = 1024 * 1024
MAX_UNREAD_BYTES = 64 * 1024**2
_HEARTBEAT_SECONDS = 20.0
_CLOSE_SECONDS = 2.0


async def serve_editor(
    request: web.Request,
    streams: Streams,
    sessions: DebugSessions,
    *,
    folder: str | None,
    session: DebugSession | None = None,
) -> web.StreamResponse:
    """Carry an editor's conversation until it says goodbye, goes, its token is revoked or the daemon stops.

    Raises `RateLimitedError`, and `InvalidInputError` for a request that is no upgrade.
    """
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_SECONDS,
        max_msg_size=MAX_FRAME_BYTES,
        protocols=(PROTOCOL,),
        compress=False,
        timeout=_CLOSE_SECONDS,
    )
    if not socket.can_prepare(request):
        raise InvalidInputError("This address speaks WebSocket only.", hint="`edgeloop dap` speaks it for an editor.")
    async with streams.opened(request[TOKEN_NAME]) as stream:
        await socket.prepare(request)
        outbox = _Outbox(socket, stream)
        editor = Editor(sessions, outbox.put, folder=folder, session=session)
        sending = asyncio.create_task(outbox.send_all())
        try:
            await _listen(socket, stream, editor)
        finally:
            await editor.left()
            await outbox.flush()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2 * _CLOSE_SECONDS):
            await socket.close(code=stream.code, message=stream.reason.encode()[:120])
    return socket


async def _listen(socket: web.WebSocketResponse, stream: Stream, editor: Editor) -> None:
    async for frame in socket:
        if frame.type is not WSMsgType.BINARY:
            stream.end(WSCloseCode.UNSUPPORTED_DATA, "only binary frames are understood")
            continue
        try:
            await editor.feed(frame.data)
        except MessageError as error:
            stream.code, stream.reason = WSCloseCode.POLICY_VIOLATION, error.message
            return
        if editor.is_over:
            return


class _Outbox:
    """What waits to be sent to one editor: each piece goes in a frame of its own."""

    def __init__(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        self._socket = socket
        self._stream = stream
        self._pieces = EagerSender(self._send)
        self._unread = 0

    def put(self, data: bytes) -> None:
        self._unread += len(data)
        if self._unread > MAX_UNREAD_BYTES:
            self._stream.end(CLOSE_SLOW, "the editor reads too slowly")
            return
        self._pieces.put(data)

    async def send_all(self) -> None:
        while True:
            try:
                await self._pieces.send_waiting(seconds=STALL_SECONDS)
            except TimeoutError:
                self._stream.end(CLOSE_SLOW, "the editor reads too slowly")

    async def flush(self) -> None:
        """Wait until all is sent, for a bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._pieces.flushed()

    async def _send(self, data: bytes) -> None:
        try:
            with contextlib.suppress(ConnectionError):  # the editor has gone, which the listening side sees as well
                await self._socket.send_bytes(data)
        finally:
            self._unread -= len(data)
