"""What a camera sees, with the frame into which a code is held."""

from __future__ import annotations

from typing import Any

from kivy.graphics import Color, InstructionGroup, Rectangle
from kivy.graphics.texture import Texture
from kivy.properties import BooleanProperty, ListProperty, ObjectProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.floatlayout import FloatLayout

from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.pressable import Pressable

load_rules(__file__)

Point = tuple[float, float]
GROUND = 0.08, 0.09, 0.12
"""Where there is no picture."""
FINDER = 0.72
"""The side of the finder's square, of the shorter side of the view."""


class TorchButton(Pressable, AnchorLayout):
    """The switch of the camera's light. `text` says what it does, to who cannot see it."""

    text = StringProperty()
    is_on = BooleanProperty(False)


class CameraView(FloatLayout):
    """Shows a `Frame` upright, cut to the widget's size; dark without one. Emits `on_torch` when its light is pressed."""

    torch = ObjectProperty(None, allownone=True)
    """Whether the light is on; None where there is none."""
    has_picture = BooleanProperty(False)
    finder = ListProperty([0, 0, 0, 0])
    """Left, bottom, right and top of the square into which a code is held."""

    __events__ = ("on_torch",)

    def __init__(self, **values: Any) -> None:
        self._frame: Frame | None = None
        super().__init__(**values)
        self._colour, self._picture = Color(*GROUND), Rectangle()
        below = InstructionGroup()
        below.add(self._colour)
        below.add(self._picture)
        self.canvas.before.insert(0, below)  # below what the rules draw
        self.bind(size=self._fit, pos=self._fit)

    def on_torch(self, *_: Any) -> None:
        """Be told that the other state of the light is wanted."""

    def show(self, frame: Frame | None) -> None:
        """Show `frame`, or nothing."""
        self._frame = frame
        self.has_picture = frame is not None
        self._colour.rgb = GROUND if frame is None else (1, 1, 1)
        if frame is None:
            self._picture.texture = None
        else:
            texture = self._picture.texture
            if texture is None or texture.size != (frame.width, frame.height):
                texture = Texture.create(size=(frame.width, frame.height), colorfmt="luminance")
            texture.blit_buffer(frame.luminance, colorfmt="luminance", bufferfmt="ubyte")
            self._picture.texture = texture
        self._fit()
        self.canvas.ask_update()

    def _fit(self, *_: Any) -> None:
        half = min(self.size) * FINDER / 2
        x, y = self.center
        self.finder = [x - half, y - half, x + half, y + half]
        self._picture.pos, self._picture.size = self.pos, self.size
        if self._frame is not None and self.width > 0 and self.height > 0:
            corners = seen_corners(self._frame, self.width / self.height)
            # A new texture has brought its own: they are always set after it.
            self._picture.tex_coords = [value for corner in corners for value in corner]


def seen_corners(frame: Frame, aspect: float) -> list[Point]:
    """Return what of `frame` fills a widget of that aspect (width by height) upright, as texture coordinates.

    They are those of the widget's corners: bottom left, bottom right, top right, top left. The texture's first row is the
    frame's upper one.
    """
    is_sideways = frame.quarter_turns % 2 == 1
    width, height = (frame.height, frame.width) if is_sideways else (frame.width, frame.height)
    across, down = min(1.0, aspect * height / width), min(1.0, width / height / aspect)
    if is_sideways:
        across, down = down, across
    left, right, top, bottom = (1 - across) / 2, (1 + across) / 2, (1 - down) / 2, (1 + down) / 2
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    turns = frame.quarter_turns % 4
    return corners[turns:] + corners[:turns]
