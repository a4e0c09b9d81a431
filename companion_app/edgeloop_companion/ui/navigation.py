"""Where the user is: one of the destinations of the bar, and the pages that were opened upon it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Screen = Any
"""A `widgets.page.Page`; Kivy, which this module does without, has no types."""


@dataclass(frozen=True)
class Destination:
    """A place of the bar: the text `{name}.title` and the sign `icon` stand there. `make` builds its page when wanted."""

    name: str
    icon: str
    make: Callable[[Navigation], Screen]


class Navigation:
    """Moves between pages. `show` is told which page is to be seen, and of which destination."""

    def __init__(self, destinations: tuple[Destination, ...], show: Callable[[Screen, str], None]) -> None:
        self.destinations = destinations
        self._show = show
        self._roots: dict[str, Screen] = {}
        self._opened: list[Screen] = []
        self.current = ""
        """The name of the destination."""

    def go(self, name: str) -> None:
        """Show the destination `name`; what was opened upon another one is closed. Raises `KeyError` for an unknown one."""
        self._opened.clear()
        if name not in self._roots:
            self._roots[name] = {one.name: one for one in self.destinations}[name].make(self)
        self.current = name
        self._show(self._roots[name], name)

    def open(self, page: Screen) -> None:
        """Show `page` upon what is shown now."""
        self._opened.append(page)
        self._show(page, self.current)

    def back(self) -> bool:
        """Close the page that was opened last, or go to the first destination; return False when there is nowhere to go."""
        if self._opened:
            self._opened.pop()
            self._show(self._opened[-1] if self._opened else self._roots[self.current], self.current)
            return True
        first = self.destinations[0].name
        if self.current == first:
            return False
        self.go(first)
        return True

    @property
    def depth(self) -> int:
        """How many pages are open upon the destination."""
        return len(self._opened)
