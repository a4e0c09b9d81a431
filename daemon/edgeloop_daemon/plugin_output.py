"""What plugins print in the daemon: into its log under their names, and never more than a little of it."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

MAX_BYTES = 8192  # per query, and per import

_log = logging.getLogger(__name__)


class PluginOutput(io.TextIOWrapper):
    """A standard stream whose text goes to the log while a plugin speaks in the calling thread, and to `stream` otherwise."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(_Bytes(stream), encoding="utf-8", errors="backslashreplace", write_through=True)


class _Bytes(io.BufferedIOBase):
    name = "<plugin output>"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        speech = _speech.get()
        if speech is None:
            self._stream.buffer.write(data)
            self._stream.flush()
        else:
            speech.take(bytes(data))
        return len(data)

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


class _Speech:
    """What one plugin says in one thread."""

    def __init__(self) -> None:
        self.kept = b""
        self.size = 0

    def take(self, data: bytes) -> None:
        self.kept += data[: MAX_BYTES - len(self.kept)]
        self.size += len(data)


def printable_lines(text: str) -> str:
    """Return `text` without control characters other than newlines and tabs."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


_speech: ContextVar[_Speech | None] = ContextVar("speech", default=None)


@contextlib.contextmanager
def spoken_by(plugin: str) -> Iterator[None]:
    """Log what this thread prints during the block as the words of `plugin`: its first `MAX_BYTES`, and how much there was."""
    speech = _Speech()
    token = _speech.set(speech)
    try:
        yield
    finally:
        _speech.reset(token)
        if speech.size:
            text = printable_lines(speech.kept.decode(errors="replace").strip()).replace("\n", "\n    ")
            more = f" ... and {speech.size - len(speech.kept)} more bytes" if speech.size > len(speech.kept) else ""
            _log.warning("The plugin %s printed:\n    %s%s", plugin, text, more)


@contextlib.contextmanager
def named_output() -> Iterator[None]:
    """Make standard output and standard error of this process `PluginOutput`s for the block."""
    with (
        contextlib.redirect_stdout(PluginOutput(sys.stdout)),
        contextlib.redirect_stderr(PluginOutput(sys.stderr)),
    ):
        yield
