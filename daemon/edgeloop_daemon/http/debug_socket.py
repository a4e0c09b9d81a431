"""An editor's Debug Adapter Protocol over a WebSocket: binary frames whose bytes, put together, are the protocol's stream."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from edgeloop_daemon.debugging.editor import Editor
from edgeloop_daemon.debugging.session import DebugSession
from edgeloop_daemon.debugging.sessions import DebugSessions
from edgeloop_daemon.http.server_sent_events import STALL_SECONDS
from edgeloop_daemon.http.sockets import CLOSE_SECONDS, opened_socket
from edgeloop_daemon.http.streams import CLOSE_SLOW, Stream, Streams
from edgeloop_shared.eager import EagerSender
from edgeloop_shared.errors import MessageError

MAX_FRAME_BYTES = 1024 * 1024
MAX_UNREAD_BYTES = 64 * 1024**2


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
    async with opened_socket(
        request, streams, max_bytes=MAX_FRAME_BYTES, hint="`edgeloop dap` speaks it for an editor."
    ) as (socket, stream):
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
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pieces.flushed()

    async def _send(self, data: bytes) -> None:
        try:
            with contextlib.suppress(ConnectionError):  # the editor has gone, which the listening side sees as well
                await self._socket.send_bytes(data)
        finally:
            self._unread -= len(data)
