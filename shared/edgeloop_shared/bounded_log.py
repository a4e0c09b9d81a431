"""A log file with a size limit, filled from a pipe: its beginning and its end are kept, and a line tells what was left out.

A process that prints without end neither fills the disk nor waits for it: what is beyond the limit is read and forgotten.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
from collections import deque
from pathlib import Path

LIMIT_BYTES = 64 * 1024**2
TAIL_BYTES = 256 * 1024
_PIPE_BYTES = 1024 * 1024
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python 3.11 does not name everywhere


class BoundedLog:
    """Appends to the file at `path` up to `limit` bytes, and at the end up to `tail` bytes more. For any thread.

    What finds no room on the disk is left out as well, and told as soon as there is room again.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT_BYTES, tail: int = TAIL_BYTES) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._room = limit
        self._limit = limit
        self._is_full = False
        self._tail_limit = tail
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out = 0
        self._lost = 0  # for want of room on the disk
        self._lock = threading.Lock()
        self._is_closed = False

    def write(self, data: bytes) -> None:
        """Append `data`, or keep it for the end, or leave it out."""
        with self._lock:
            if self._is_closed:
                return
            if len(data) <= self._room:
                self._room -= len(data)
                self._append(data)
                return
            if not self._is_full:
                self._is_full = True
                cut = data.rfind(b"\n", 0, self._room) + 1
                self._room = 0
                self._append(data[:cut])
                data = data[cut:]
                self._append(_line(f"the log has reached its limit of {self._limit} bytes: only its end will follow"))
            self._tail.append(data)
            self._tail_bytes += len(data)
            while self._tail_bytes - len(self._tail[0]) >= self._tail_limit:
                first = self._tail.popleft()
                self._tail_bytes -= len(first)
                self._left_out += len(first)

    def close(self) -> None:
        """Write the end and close the file; what is written later is forgotten."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            end = b"".join(self._tail)
            if self._left_out or len(end) > self._tail_limit:
                surplus = max(0, len(end) - self._tail_limit)
                cut = end.find(b"\n", surplus) + 1 or surplus  # the end begins with a whole line, if it has one
                self._append(_line(f"{self._left_out + cut} bytes were left out here"))
                end = end[cut:]
            self._append(end)
            os.close(self._descriptor)

    def _append(self, data: bytes) -> None:
        try:
            if self._lost:
                os.write(self._descriptor, _line(f"{self._lost} bytes were left out here: the disk was full"))
                self._lost = 0
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._lost += len(data)


class LogPipe:
    """A pipe whose writing end is a process's standard output, and the thread that fills a log from it."""

    def __init__(self, log: BoundedLog) -> None:
        self._log = log
        self._reading, self.writing = os.pipe()
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # the user's pipes may take no more: it is only quicker
                fcntl.fcntl(self.writing, _SET_PIPE_SIZE, _PIPE_BYTES)
        self._thread = threading.Thread(target=self._fill, name="log", daemon=True)

    def start(self) -> None:
        """Begin to read. Call it when the process has the writing end: this process's own one is closed here."""
        os.close(self.writing)
        self._thread.start()

    def finish(self, seconds: float = 1.0) -> None:
        """Read to the end and close the log.

        A process that has left its group may hold the pipe for ever: after `seconds` its output counts no more.
        """
        self._thread.join(seconds)
        self._log.close()

    def _fill(self) -> None:
        while data := os.read(self._reading, _PIPE_BYTES):
            self._log.write(data)
        os.close(self._reading)


def _line(text: str) -> bytes:
    return f"[edgeloop: {text}]\n".encode()
