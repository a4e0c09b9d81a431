"""Log lines from the bytes that a process writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_LINE = 64 * 1024  # bytes; a longer line comes in parts
_END = re.compile(rb"\r\n|\r|\n")


class LineSplitter:
    """Splits bytes into lines as they come.

    A carriage return ends a line too, so that each step of a progress bar is seen. Bytes that are not UTF-8 are replaced.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that `data` completes."""
        if self._after_return and data.startswith(b"\n"):  # the second half of an end of line that was cut in two
            data = data[1:]
        self._after_return = data.endswith(b"\r")
        *lines, self._rest = _END.split(self._rest + data)
        for line in lines:
            yield from _parts(line)
        if len(self._rest) > MAX_LINE:
            whole = len(self._rest) - len(self._rest) % MAX_LINE
            yield from _parts(self._rest[:whole])
            self._rest = self._rest[whole:]

    def finish(self) -> Iterator[str]:
        """Yield the last line when it has no end."""
        if self._rest:
            yield from _parts(self._rest)
            self._rest = b""


def _parts(line: bytes) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE):
        yield line[start : start + MAX_LINE].decode(errors="replace")
