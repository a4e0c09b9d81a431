"""The frame of a screen: a title, the way back, and a column that scrolls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from kivy.properties import ObjectProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.store.observable import Stop
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.banner import Banner
from edgeloop_companion.ui.widgets.pressable import Pressable

log = logging.getLogger(__name__)

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
    beside: Page | None = ObjectProperty(None, allownone=True)
    """What was opened from here and is seen beside it."""

    def __init__(self, **values: Any) -> None:
        self._stops: list[Stop] = []
        self._tasks: set[asyncio.Task[None]] = set()
        frame = PageFrame()
        self.column = self._column(frame)
        self.banner: Banner = frame.ids.banner
        """Below the title, wherever the column is scrolled to."""
        super().__init__(**values)
        self.bind(title=frame.setter("title"), go_back=frame.setter("go_back"))
        frame.title, frame.go_back = self.title, self.go_back
        super().add_widget(frame)

    def _column(self, frame: Any) -> Any:
        """Return what in `frame` holds that which is added to the page."""
        return frame.ids.column

    def add_widget(self, widget: Any, *arguments: Any, **values: Any) -> None:
        """Add `widget` to the column."""
        self.column.add_widget(widget, *arguments, **values)

    def remove_widget(self, widget: Any, *arguments: Any, **values: Any) -> None:
        """Remove `widget` from the column."""
        self.column.remove_widget(widget, *arguments, **values)

    def enter(self) -> None:
        """Be told that this screen is seen from now on: what it watches begins here."""

    def leave(self) -> None:
        """Be told that this screen is not seen any more: what it watches and what it has begun ends."""
        for stop in self._stops:
            stop()
        self._stops.clear()
        for task in tuple(self._tasks):
            task.cancel()

    @property
    def begun(self) -> frozenset[asyncio.Task[None]]:
        """What it has begun and has not ended yet."""
        return frozenset(self._tasks)

    def while_seen(self, *stops: Stop) -> None:
        """Have these called when this screen is left."""
        self._stops.extend(stops)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` as long as this screen is seen. What it raises is a fault in the app, and written to its log."""
        task = asyncio.create_task(work, name=type(self).__name__)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s", task.get_name(), exc_info=error)


class FixedColumn(AnchorLayout):
    """A column as high as there is room."""


class FixedPage(Page):
    """A screen whose column does not scroll: what is in it fills the page, and scrolls by itself."""

    def _column(self, frame: Any) -> Any:
        frame.remove_widget(frame.ids.scroll)
        fixed = FixedColumn()
        frame.add_widget(fixed)
        return fixed.ids.column
