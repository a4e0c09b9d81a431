"""Bytes of a worker's pipes into whole units: lines of its output, frames of its reports."""

from __future__ import annotations

import codecs
import io
import struct
from collections.abc import Iterator

MAX_LINE_CHARACTERS = 16 * 1024
FRAME_HEADER = struct.Struct("<IB")


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


class FrameSplitter:
    """Bytes in, whole frames out: u32 length of the payload (little-endian), u8 kind, payload.

    A frame that is longer than `max_bytes` is skipped and only its length remembered: what writes there is somebody's script.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._to_skip = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes] | int]:
        """Yield `(kind, payload)` of the frames that `data` completes; of one that is too long, its length."""
        self._buffer += data
        while True:
            if self._to_skip:
                skipped = min(self._to_skip, len(self._buffer))
                del self._buffer[:skipped]
                self._to_skip -= skipped
            if self._to_skip or len(self._buffer) < FRAME_HEADER.size:
                return
            length, kind = FRAME_HEADER.unpack_from(self._buffer)
            end = FRAME_HEADER.size + length
            if length > self._max_bytes:
                yield length
                self._to_skip = end
                continue
            if len(self._buffer) < end:
                return
            yield kind, bytes(self._buffer[FRAME_HEADER.size : end])
            del self._buffer[:end]


def _cut(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE_CHARACTERS):
        yield line[start : start + MAX_LINE_CHARACTERS]
