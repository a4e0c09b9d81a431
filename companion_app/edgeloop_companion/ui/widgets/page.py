"""The frame of a screen: a title, the way back, and a column that scrolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.properties import ObjectProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.banner import Banner
from edgeloop_companion.ui.widgets.pressable import Pressable

load_rules(__file__)


class IconButton(Pressable, AnchorLayout):
    """A sign that can be pressed. `text` says what it does, to who cannot see it."""

    icon = StringProperty()
    text = StringProperty()


class PageFrame(BoxLayout):
    """What a `Page` puts around its column."""

    title = StringProperty()
    go_back = ObjectProperty(None, allownone=True)


class Page(BoxLayout):
    """A screen: what is added to it comes into its column, one below the other, no wider than is pleasant to read."""

    title = StringProperty()
    go_back: Callable[[], object] | None = ObjectProperty(None, allownone=True)
    """Set by who opens it; None where there is no way back."""

    def __init__(self, **values: Any) -> None:
        self._frame: Any = None
        frame = PageFrame()
        self.column = frame.ids.column
        self.banner: Banner = frame.ids.banner
        """Below the title, wherever the column is scrolled to."""
        super().__init__(**values)
        self.bind(title=frame.setter("title"), go_back=frame.setter("go_back"))
        frame.title, frame.go_back = self.title, self.go_back
        super().add_widget(frame)

    def add_widget(self, widget: Any, *arguments: Any, **values: Any) -> None:
        """Add `widget` to the column."""
        self.column.add_widget(widget, *arguments, **values)

    def remove_widget(self, widget: Any, *arguments: Any, **values: Any) -> None:
        """Remove `widget` from the column."""
        self.column.remove_widget(widget, *arguments, **values)

    def enter(self) -> None:
        """Be told that this screen is seen from now on: what it watches begins here."""

    def leave(self) -> None:
        """Be told that this screen is not seen any more: what `enter` began ends."""
