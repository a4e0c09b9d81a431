"""A value that tells when it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Stop = Callable[[], None]
"""Ends what it was returned for; once more does nothing."""


class Observable(Generic[T]):
    """Holds a value, and calls whoever watches it with every one that differs from the one before, on the event loop."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._watchers: dict[object, Callable[[T], None]] = {}

    @property
    def value(self) -> T:
        """The value now."""
        return self._value

    def set(self, value: T) -> None:
        """Change the value. Who is being told and sets another one makes the others see that one only."""
        if value == self._value:
            return
        self._value = value
        for key, watcher in tuple(self._watchers.items()):
            if self._value is not value:
                return  # a watcher has set another one, of which all were told
            if key in self._watchers:
                watcher(value)

    def watch(self, watcher: Callable[[T], None]) -> Stop:
        """Call `watcher` with the value now and with every other one, until the function that is returned is called."""
        key = object()
        self._watchers[key] = watcher
        watcher(self._value)
        return lambda: self._watchers.pop(key, None) and None
