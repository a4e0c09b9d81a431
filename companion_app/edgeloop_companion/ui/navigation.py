"""Where the user is: at one of the destinations of the bar, and maybe at a page that was opened from there."""

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
    """Moves between pages: the root of a destination, and at most one page that was opened from there.

    `show` is told that `current` or `pages` are others.
    """

    def __init__(self, destinations: tuple[Destination, ...], show: Callable[[], None]) -> None:
        self.destinations = destinations
        self._show = show
        self._roots: dict[str, Screen] = {}
        self._opened: Screen | None = None
        self.current = ""
        """The name of the destination."""

    @property
    def pages(self) -> tuple[Screen, ...]:
        """The root of the destination, and the page that was opened from there."""
        root = self._roots[self.current]
        return (root,) if self._opened is None else (root, self._opened)

    def go(self, name: str) -> None:
        """Show the destination `name`; what was opened is closed. Raises `KeyError` for an unknown one."""
        if name not in self._roots:
            self._roots[name] = {one.name: one for one in self.destinations}[name].make(self)
        self.current, self._opened = name, None
        self._show()

    def open(self, page: Screen) -> None:
        """Show `page`, in the place of one that was opened before."""
        self._opened = page
        self._show()

    def back(self) -> bool:
        """Close the page that was opened, or go to the first destination; return False when there is nowhere to go."""
        if self._opened is not None:
            self._opened = None
            self._show()
            return True
        first = self.destinations[0].name
        if self.current == first:
            return False
        self.go(first)
        return True
