"""Text, in the sizes and fonts of this app."""

from __future__ import annotations

from kivy.core.text import Label as CoreLabel
from kivy.properties import BooleanProperty, OptionProperty, StringProperty
from kivy.uix.label import Label

from edgeloop_companion.ui.line_breaks import break_lines, needs_breaks
from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class DrawnText(CoreLabel):
    """What draws a text that wraps, and ends its lines where they may end."""

    text: str  # a property of what this is

    def render(self, real: bool = False) -> tuple[int, int] | None:
        """Lay the lines out and return their size in pixels, or draw them (`real`)."""
        text, width = self.text, self._text_size[0]
        if not real and width and not self.options["shorten"]:
            left, _, right, _ = self.options["padding"]
            room = width - left - right
            if needs_breaks(text, room, self._measure):
                self.text = break_lines(text, room, self._measure)
        try:
            size: tuple[int, int] | None = super().render(real)
            return size
        finally:
            self.text = text

    def _measure(self, line: str) -> float:
        return float(self.get_extents(line)[0])


class Text(Label):
    """Wraps to its width and is as high as its lines. What it shows is never read as markup."""

    role = OptionProperty("body", options=["title", "heading", "body", "small", "label", "code"])
    colour = StringProperty("")
    """Of the palette; empty is the one of its role."""
    is_strong = BooleanProperty(False)

    def _create_label(self) -> None:
        font = {name: getattr(self, name) for name in self._font_properties}
        self._label = DrawnText(usersize=self.text_size, **font)


class LineText(Text):
    """One line of a text, shortened to its width."""


class ShortText(Label):
    """A word or a figure, as wide as it is."""

    role = OptionProperty("small", options=["title", "heading", "body", "small", "label", "code"])
    colour = StringProperty("")
    is_strong = BooleanProperty(False)
