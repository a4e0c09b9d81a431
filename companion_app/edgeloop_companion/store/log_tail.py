"""The last lines of a run's output."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeloop_companion.store.plain_text import plain
from edgeloop_shared.run_events import LogLine

MAX_LINES = 400
MAX_CHARACTERS = 64 * 1024
MAX_LINE = 400


@dataclass(frozen=True)
class ShownLine:
    """A line as it is shown; `number` counts those of a run from 1."""

    number: int
    source: Literal["stdout", "stderr", "system"]
    text: str


class LogTail:
    """Keeps so much of a run's output as a person scrolls through on a phone; all of it is on the computer."""

    def __init__(self) -> None:
        self._lines: deque[ShownLine] = deque()
        self._characters = 0
        self._count = 0

    @property
    def lines(self) -> tuple[ShownLine, ...]:
        """The lines that are kept, oldest first."""
        return tuple(self._lines)

    @property
    def last(self) -> str:
        """The text of the last line that says something."""
        return next((line.text for line in reversed(self._lines) if line.text.strip()), "")

    def add(self, lines: Sequence[LogLine]) -> None:
        """Take lines; of a flood only those that stay are looked at."""
        self._count += len(lines) - len(lines[-MAX_LINES:])
        for line in lines[-MAX_LINES:]:
            self._count += 1
            shown = ShownLine(self._count, line.source, plain(line.text, MAX_LINE))
            self._lines.append(shown)
            self._characters += len(shown.text)
        while len(self._lines) > MAX_LINES or self._characters > MAX_CHARACTERS:
            self._characters -= len(self._lines.popleft().text)
