"""A cable between a client and a port on loopback: it counts what it carries, and can be pulled out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

ADDRESS = "127.0.0.1"
_PIECE = 64 * 1024


class Cable:
    """Carries TCP connections to the port `target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        """The port at which it begins."""
        self.is_plugged_in = True
        """Whether new connections go through."""
        self.carried = 0
        """Bytes so far, in both directions."""
        self.cuts: list[int] = []
        """After how many carried bytes it is pulled out, the nearest last."""

    def cut(self) -> None:
        """Pull it out now; it is plugged in again at once, unless `is_plugged_in` is false."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_plugged_in:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(ADDRESS, self._target)
        self._writers |= {writer, back}
        with contextlib.suppress(asyncio.CancelledError):  # the end of the benchmark
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(_PIECE):
                self.carried += len(data)
                sink.write(data)
                await sink.drain()
                if self.cuts and self.carried >= self.cuts[-1]:
                    self.cuts.pop()
                    self.cut()
        sink.close()


@contextlib.asynccontextmanager
async def laid(target: int) -> AsyncIterator[Cable]:
    """Lay a cable to `target` for the block."""
    cable = Cable(target)
    server = await asyncio.start_server(cable._carry, ADDRESS, 0)
    cable.port = int(server.sockets[0].getsockname()[1])
    try:
        yield cable
    finally:
        server.close()
