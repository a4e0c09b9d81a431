"""What both listeners share: taking connections one by one, so that they are counted before anything is read, and their log."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator

from aiohttp.http_exceptions import HttpProcessingError

_RETRY_SECONDS = 0.5
_log = logging.getLogger(__name__)


async def accepted(listening: socket.socket) -> AsyncGenerator[tuple[socket.socket, str], None]:
    """Yield each connection that comes to `listening` and its peer's address. At the end `listening` is closed.

    Other tasks run between two connections. Whoever takes a connection has to close it.
    """
    with listening:
        listening.setblocking(False)
        while True:
            try:
                connection, peer = listening.accept()  # not `sock_accept`: cancelled too late, it loses a connection
            except BlockingIOError:
                await _readable(listening)
                continue
            except ConnectionError:  # it was gone before we looked
                continue
            except OSError as error:  # out of descriptors or memory: those that are open will end
                _log.error("no connection can be taken now: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            connection.setblocking(False)
            yield connection, str(peer[0])
            await asyncio.sleep(0)


async def _readable(listening: socket.socket) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(listening)


def request_log() -> logging.Logger:
    """Return the logger for aiohttp's request handlers. It leaves out requests that no parser could read.

    aiohttp would log their bytes, which may hold a token, with a traceback: as often as any stranger likes.
    """
    log = logging.getLogger("edgeloop_daemon.requests")
    log.addFilter(_could_be_read)
    return log


def _could_be_read(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
