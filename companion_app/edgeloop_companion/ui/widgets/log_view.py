"""Rows of output that come quickly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kivy.clock import Clock
from kivy.core.text import Label as CoreLabel
from kivy.graphics import Color, Rectangle
from kivy.properties import DictProperty, NumericProperty, ObjectProperty
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget
from kivy.utils import rgba

from edgeloop_companion.ui.fonts import CODE, Fonts
from edgeloop_companion.ui.log_rows import LogRow
from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)

ROWS_A_FRAME = 12
"""How many are rendered for one frame at most; of a flood the others follow in the next ones, if they are still to be seen."""


class LogView(ScrollView):
    """Shows rows of equal height. A row is rendered once, when it comes into sight; then its picture only moves.

    Labels in a recycled list are rendered anew, all that are seen, whenever a row comes.
    """

    colours = DictProperty()
    """The colour of the rows of each source."""
    fonts = ObjectProperty()
    row_height = NumericProperty(19)
    font_size = NumericProperty(13)
    margin = NumericProperty(12)
    """Left and right of the rows."""
    inset = NumericProperty(10)
    """Above the first row and below the last one; all of these are pixels."""

    def __init__(self, **values: Any) -> None:
        self._rows: Sequence[LogRow] = ()
        self._labels: dict[LogRow, CoreLabel] = {}  # which fill their textures anew when the system has lost them
        self._draw_now = Clock.create_trigger(self._draw, -1)
        self._draw_next = Clock.create_trigger(self._draw_now, 0)
        self._column = Widget(size_hint_y=None)
        super().__init__(**values)
        self.add_widget(self._column)
        for one, names in ((self, ("size", "scroll_y", "colours")), (self._column, ("pos", "size"))):
            for name in names:
                one.fbind(name, self._draw_now)

    @property
    def text(self) -> str:
        """The rows that are seen."""
        return "\n".join(row.text for _, row in self._seen() if row in self._labels)

    @property
    def columns(self) -> int:
        """How many characters fit into a row."""
        advance = CoreLabel(font_name=CODE, font_size=self.font_size).get_extents("0" * 50)[0] / 50
        return int((self.width - 2 * self.margin) / advance)

    @property
    def hidden(self) -> float:
        """How much higher all rows are than what is seen of them, in pixels."""
        return float(self._column.height - self.height)

    def show(self, rows: Sequence[LogRow]) -> None:
        """Show `rows`, the last of which are at the bottom."""
        self._rows = rows
        self._column.height = len(rows) * self.row_height + 2 * self.inset
        self._draw_now()

    def _seen(self) -> list[tuple[int, LogRow]]:
        """The rows that are seen with their numbers."""
        above = (1 - self.scroll_y) * max(0.0, self.hidden) - self.inset
        first = max(0, int(above // self.row_height))
        end = max(first, int((above + self.height) // self.row_height) + 1)
        return list(enumerate(self._rows[first:end], first))

    def _draw(self, _: float) -> None:
        seen = self._seen()
        known, self._labels = self._labels, {}
        missing: dict[LogRow, None] = {}
        for _number, row in reversed(seen):
            if row in known:
                self._labels[row] = known[row]
            elif row.text.strip():
                missing[row] = None
        for row in list(missing)[:ROWS_A_FRAME]:
            self._labels[row] = _rendered(row, self.fonts, self.font_size)
        if len(missing) > ROWS_A_FRAME:
            self._draw_next()
        column = self._column
        column.canvas.clear()
        with column.canvas:
            for number, row in seen:
                if (label := self._labels.get(row)) is not None:
                    texture = label.texture
                    y = column.top - self.inset - (number + 0.5) * self.row_height - texture.height / 2
                    Color(*rgba(self.colours[row.source]))
                    Rectangle(texture=texture, size=texture.size, pos=(round(column.x + self.margin), round(y)))


def _rendered(row: LogRow, fonts: Fonts, font_size: float) -> CoreLabel:
    label = CoreLabel(text=row.text, font_name=fonts.for_text(row.text, True), font_size=font_size)
    label.refresh()
    return label
