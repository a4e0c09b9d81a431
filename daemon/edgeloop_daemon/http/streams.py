"""Answers that stay open (event streams, WebSockets): counted per token, ended when the token or the daemon ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode

from edgeloop_shared.errors import DaemonUnreachableError, RateLimitedError

MAX_STREAMS_PER_TOKEN = 64
CLOSE_REVOKED = 4001
CLOSE_SLOW = 4008


class Stream:
    """One open answer; `code` and `reason` say why it ended, as far as nobody has simply gone."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.code: int = WSCloseCode.OK
        self.reason = ""
        self._scope = asyncio.timeout(None)

    def end(self, code: int, reason: str) -> None:
        """Leave the block that `Streams.opened` stands around; the first reason counts."""
        if not self.reason:
            self.code, self.reason = code, reason
            self._scope.reschedule(asyncio.get_running_loop().time())


class Streams:
    """All open answers."""

    def __init__(self, *, limit: int = MAX_STREAMS_PER_TOKEN) -> None:
        self._limit = limit
        self._open: set[Stream] = set()
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def opened(self, token: str) -> AsyncIterator[Stream]:
        """Count an answer for the block. It is left early when the stream is ended.

        Raises `RateLimitedError`, and `DaemonUnreachableError` when the daemon stops.
        """
        if self._is_closing:
            raise DaemonUnreachableError("The daemon stops.", hint="Try again when it runs.")
        if sum(stream.token == token for stream in self._open) >= self._limit:
            raise RateLimitedError(
                f"This token has {self._limit} streams open.",
                hint="Close one, or follow several things over one WebSocket.",
                details={"limit": self._limit},
            )
        stream = Stream(token)
        self._open.add(stream)
        try:
            async with stream._scope:
                yield stream
        except TimeoutError:
            if not stream.reason:
                raise
        finally:
            self._open.discard(stream)

    def end_those_of(self, token: str) -> None:
        """End the streams of a token that was revoked."""
        for stream in self._open:
            if stream.token == token:
                stream.end(CLOSE_REVOKED, "the token was revoked")

    async def close(self) -> None:
        """End all streams, because the daemon stops."""
        self._is_closing = True
        for stream in self._open:
            stream.end(WSCloseCode.GOING_AWAY, "the daemon stops")
