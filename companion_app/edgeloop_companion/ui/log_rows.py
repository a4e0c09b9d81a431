"""A task's output in rows of equal height: lines that are too long go on in the next row, indented."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeloop_companion.store.log_tail import ShownLine

SPARE_LINES = 200


@dataclass(frozen=True)
class LogRow:
    """A row of the output; `source` is whose."""

    text: str
    source: str


class LogRows:
    """The rows of lines, `columns` characters wide, as they come. Lines that are kept no longer go `SPARE_LINES` at a time.

    So rows mostly stay where they are and new ones come behind them: then a list has to measure only these.
    """

    def __init__(self, columns: int) -> None:
        self._columns = max(8, columns)
        self._wrapped: deque[tuple[int, tuple[LogRow, ...]]] = deque()
        self._rows: list[LogRow] = []

    def of(self, lines: Sequence[ShownLine]) -> tuple[list[LogRow], int]:
        """Return the rows of `lines`, which go on where those of the last call ended, and how many of them were there before."""
        first = lines[0].number if lines else 0
        last = self._wrapped[-1][0] if self._wrapped else 0
        new = [(line.number, tuple(self._wrap(line))) for line in lines if line.number > last]
        self._wrapped.extend(new)
        before = len(self._rows)
        if not lines or len(self._wrapped) > len(lines) + SPARE_LINES or last < first - 1:
            while self._wrapped and (not lines or self._wrapped[0][0] < first):
                self._wrapped.popleft()
            self._rows, before = [row for _, rows in self._wrapped for row in rows], 0
        else:
            self._rows.extend(row for _, rows in new for row in rows)
        return self._rows, before

    def _wrap(self, line: ShownLine) -> Iterator[LogRow]:
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
