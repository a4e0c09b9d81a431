"""A task's output in rows of equal height: lines that are too long go on in the next row, indented."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeloop_companion.store.log_tail import ShownLine

_INDENT = "  "


@dataclass(frozen=True)
class LogRow:
    """A row of the output; `source` is whose."""

    text: str
    source: str


class LogRows:
    """The rows of lines, `columns` characters wide, as they come: each line is wrapped once."""

    def __init__(self, columns: int) -> None:
        self._columns = max(8, columns)
        self._wrapped: deque[tuple[int, tuple[LogRow, ...]]] = deque()

    def of(self, lines: Sequence[ShownLine]) -> list[LogRow]:
        """Return the rows of `lines`, which are those of the last call without some at the front and with more at the end."""
        first, last = (lines[0].number, lines[-1].number) if lines else (0, 0)
        while self._wrapped and not first <= self._wrapped[0][0] <= last:
            self._wrapped.popleft()
        known = self._wrapped[-1][0] if self._wrapped else 0
        self._wrapped.extend((line.number, tuple(self._wrap(line))) for line in lines if line.number > known)
        return [row for _, rows in self._wrapped for row in rows]

    def _wrap(self, line: ShownLine) -> Iterator[LogRow]:
        texts = self._slices(line.text) if line.text.isascii() else self._measured(line.text)
        return (LogRow(text, line.source) for text in texts)

    def _slices(self, text: str) -> Iterator[str]:
        """Cut a text whose characters are all equally wide, which is much quicker than to look at each of them."""
        yield text[: self._columns]
        step = self._columns - len(_INDENT)
        for start in range(self._columns, len(text), step):
            yield _INDENT + text[start : start + step]

    def _measured(self, text: str) -> Iterator[str]:
        row, width = "", 0
        for character in text:
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if width + wide > self._columns:
                yield row
                row, width = _INDENT, len(_INDENT)
            row, width = row + character, width + wide
        yield row
