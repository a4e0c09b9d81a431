"""Signs, drawn as strokes: sharp at every density, in every colour, without a font or a picture."""

from __future__ import annotations

from typing import Any

from kivy.graphics import Color, SmoothLine
from kivy.metrics import dp
from kivy.properties import StringProperty
from kivy.uix.widget import Widget
from kivy.utils import rgba

from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.icon_paths import PATHS, Circle

load_rules(__file__)


class Icon(Widget):
    """The sign `name`, in the middle of the widget and as large as fits."""

    name = StringProperty("")
    colour = StringProperty("#000000")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.bind(pos=self._draw, size=self._draw, name=self._draw, colour=self._draw)
        self._draw()

    def _draw(self, *_: Any) -> None:
        self.canvas.clear()
        side = min(self.size)
        unit, left, bottom = side / 24, self.center_x - side / 2, self.center_y - side / 2
        with self.canvas:
            Color(*rgba(self.colour))
            for path in PATHS.get(self.name, ()):
                if isinstance(path, Circle):
                    centre = left + path.x * unit, bottom + path.y * unit
                    SmoothLine(circle=(*centre, path.radius * unit), width=dp(0.9))
                else:
                    points = [value for x, y in path for value in (left + x * unit, bottom + y * unit)]
                    SmoothLine(points=points, width=dp(0.9))
