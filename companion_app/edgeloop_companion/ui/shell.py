"""The frame around all screens: the bar with its places, and the page that is seen, or two of them side by side."""

from __future__ import annotations

import asyncio
from typing import Any

from kivy.core.window import Window
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty
from kivy.uix.behaviors import FocusBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout

from edgeloop_companion.ui.navigation import Destination, Navigation
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_companion.ui.widgets.pressable import Pressable

WIDE_DP = 720
"""From this width on the bar stands at the side."""
ROOMY_DP = 960
"""From this width on a list stands beside what was opened from it."""
_ESCAPE, _TAB, _ANDROID_BACK = 27, 9, 1001

load_rules(__file__)


class NavigationItem(Pressable, BoxLayout):
    """One place of the bar."""

    place = ObjectProperty(rebind=True)
    is_current = BooleanProperty(False)


class Shell(FloatLayout):
    """The root of all widgets."""

    is_wide = BooleanProperty(False)
    is_roomy = BooleanProperty(False)
    is_split = BooleanProperty(False)
    """Whether two pages are seen."""
    list_width = NumericProperty()
    """Of a list beside what was opened from it."""

    def __init__(self, places: tuple[Destination, ...]) -> None:
        super().__init__()
        self._pages: tuple[Page, ...] = ()
        self._ending: set[asyncio.Task[None]] = set()
        self.navigation = Navigation(places, self._show)
        for place in places:
            self.ids.bar.add_widget(NavigationItem(place=place, on_release=self._pressed))
        self.navigation.go(places[0].name)

    def on_parent(self, _: Shell, parent: Any) -> None:
        """Listen to the keys while it is seen."""
        listen = Window.unbind if parent is None else Window.bind
        listen(on_keyboard=self._key, on_key_down=self._focus_first)
        if parent is None:
            self.leave()

    def leave(self) -> None:
        """Have the pages that are seen end what they do."""
        for page in self._pages:
            self._leave(page)
        self._pages = ()

    async def ended(self) -> None:
        """Return once all has ended that pages had begun which were left: processes of theirs, say, are gone then."""
        if self._ending:
            await asyncio.wait(self._ending)

    def _leave(self, page: Page) -> None:
        self._ending |= page.begun
        for task in page.begun:
            task.add_done_callback(self._ending.discard)
        page.leave()

    def on_size(self, *_: Any) -> None:
        """Lay out for a phone or for a desktop."""
        self.is_wide = self.width >= dp(WIDE_DP)
        self.is_roomy = self.width >= dp(ROOMY_DP)

    def on_is_roomy(self, *_: Any) -> None:
        """Show one page, or two."""
        if self._pages:
            self._show()

    def _pressed(self, item: NavigationItem) -> None:
        self.navigation.go(item.place.name)

    def _show(self) -> None:
        for item in self.ids.bar.children:
            item.is_current = item.place.name == self.navigation.current
        root, *opened = self.navigation.pages
        pages = (root, *opened) if self.is_roomy or not opened else tuple(opened)
        before, self._pages = self._pages, pages
        if pages != before:
            for page in before:
                if page not in pages:
                    self._leave(page)
            self.ids.stage.clear_widgets()
            for page in pages:
                self.ids.stage.add_widget(page)
                page.size_hint_x, page.width = (None, self.list_width) if page is not pages[-1] else (1, page.width)
                page.go_back = self.navigation.back if page in opened else None
                if page not in before:
                    page.enter()
        self.is_split = len(pages) > 1
        root.beside = opened[0] if self.is_split else None

    def _key(self, _: Any, key: int, *__: Any) -> bool:
        """Go back. At the first place the system may have the key: on a phone the app goes to the background then."""
        return key in (_ESCAPE, _ANDROID_BACK) and self.navigation.back()

    def _focus_first(self, _: Any, key: int, *__: Any) -> bool:
        """Begin to walk through what can be pressed; from then on Kivy moves from each to the next."""
        if key != _TAB or any(FocusBehavior._keyboards.values()):
            return False
        for one in self.walk():
            if isinstance(one, FocusBehavior) and one.is_focusable and not one.disabled:
                one.focus = True
                return True
        return False
