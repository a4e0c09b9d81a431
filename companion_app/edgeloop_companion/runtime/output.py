"""A worker's standard output and error as log lines, batched into records."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import io
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.runtime.workers import Pipe
from edgeloop_shared.codec import encode_json
from edgeloop_shared.messages import LogLine

MAX_LINE_CHARACTERS = 16 * 1024
MAX_BATCH_BYTES = 48 * 1024
FLUSH_SECONDS = 0.1
KEPT_LINES = 40

Source = Literal["stdout", "stderr", "system"]


class LineSplitter:
    """Bytes in, whole lines out. Invalid UTF-8 is replaced, CR and CRLF end a line too, and an overlong line is split."""

    def __init__(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[str]:
        """Yield the lines that `data` completes, without their ends; with `final` also what is left."""
        text = self._rest + self._decoder.decode(data, final=final)
        *lines, self._rest = text.split("\n")
        for line in lines:
            yield from _cut(line)
        while len(self._rest) > MAX_LINE_CHARACTERS:
            yield self._rest[:MAX_LINE_CHARACTERS]
            self._rest = self._rest[MAX_LINE_CHARACTERS:]
        if final and self._rest:
            yield self._rest
            self._rest = ""


class TaskLog:
    """The log stream of one run: lines gather for a moment, so that a chatty script costs few records."""

    def __init__(self, outbox: Outbox, stream: str) -> None:
        self._outbox = outbox
        self._stream = stream
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._some = asyncio.Event()
        self._sending = asyncio.Lock()
        self.position = 0
        """The sequence number of the stream's last record."""
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        """The worker's last lines, for the report of a crash."""

    async def follow(self, pipe: Pipe, source: Source) -> None:
        """Log everything on `pipe` until its end."""
        splitter = LineSplitter()
        while data := await pipe.read():
            for line in splitter.feed(data):
                await self.add(source, line)
        for line in splitter.feed(b"", final=True):
            await self.add(source, line)

    async def add(self, source: Source, text: str) -> None:
        """Log one line; waits while the outbox is full."""
        if source != "system":
            self.last_lines.append(text[:1000])
        now = time.time_ns()
        for line in _encode(LogLine(now, source, text)):
            if self._bytes + len(line) + 1 > MAX_BATCH_BYTES:
                await self.flush()
            self._waiting.append(line)
            self._bytes += len(line) + 1
        self._some.set()

    async def flush(self) -> None:
        """Hand over what has gathered."""
        async with self._sending:  # so that two flushes keep their order
            self._some.clear()
            lines = tuple(self._waiting)
            if not lines:
                return
            self.position = await self._outbox.append(self._stream, b"\n".join(lines))
            # Only now: whoever is cancelled while the outbox is full has lost nothing.
            del self._waiting[: len(lines)]
            self._bytes -= sum(len(line) + 1 for line in lines)

    @contextlib.asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush at least every `FLUSH_SECONDS` inside the block, and at its end."""
        task = asyncio.create_task(self._flush_regularly())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _flush_regularly(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()


def _cut(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE_CHARACTERS):
        yield line[start : start + MAX_LINE_CHARACTERS]


def _encode(line: LogLine) -> Iterator[bytes]:
    """Yield the line as JSON; in halves when escapes make it too long for a record."""
    encoded = encode_json(line)
    if len(encoded) < MAX_BATCH_BYTES:
        yield encoded
        return
    middle = len(line.text) // 2
    yield from _encode(LogLine(line.time_ns, line.source, line.text[:middle]))
    yield from _encode(LogLine(line.time_ns, line.source, line.text[middle:]))
