"""A task's output in rows of equal height: lines that are too long go on in the next row, indented."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeloop_companion.store.log_tail import ShownLine


@dataclass(frozen=True)
class LogRow:
    """A row of the output; `source` is whose."""

    text: str
    source: str


class LogRows:
    """The rows of the lines that are kept, `columns` characters wide; what was wrapped once is not wrapped again."""

    def __init__(self, columns: int) -> None:
        self._columns = max(8, columns)
        self._wrapped: deque[tuple[int, tuple[LogRow, ...]]] = deque()

    def of(self, lines: Sequence[ShownLine]) -> list[LogRow]:
        """Return the rows of `lines`, which go on where those of the last call ended."""
        if not lines:
            self._wrapped.clear()
            return []
        first = lines[0].number
        while self._wrapped and self._wrapped[0][0] < first:
            self._wrapped.popleft()
        last = self._wrapped[-1][0] if self._wrapped else first - 1
        self._wrapped.extend((line.number, tuple(self._rows(line))) for line in lines if line.number > last)
        return [row for _, rows in self._wrapped for row in rows]

    def _rows(self, line: ShownLine) -> Iterator[LogRow]:
        if line.text.isascii() and len(line.text) <= self._columns:
            yield LogRow(line.text, line.source)
            return
        row, width = "", 0
        for character in line.text:
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if width + wide > self._columns:
                yield LogRow(row, line.source)
                row, width = "  ", 2
            row, width = row + character, width + wide
        yield LogRow(row, line.source)
