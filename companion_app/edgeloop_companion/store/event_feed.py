"""What a companion tells, for all parts of the store that listen."""

from __future__ import annotations

import logging

from edgeloop_companion.events import Event, Listener
from edgeloop_companion.store.observable import Stop

log = logging.getLogger(__name__)


class EventFeed:
    """Passes every event on to whoever listens; it is itself the listener of a companion."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}

    def __call__(self, event: Event) -> None:
        """Tell all listeners of `event`. One that fails harms neither the others nor the link that the event is of."""
        for listener in tuple(self._listeners.values()):
            try:
                listener(event)
            except Exception:
                log.exception("who was told of %r", event)

    def listen(self, listener: Listener) -> Stop:
        """Call `listener` with every event from now on, until the function that is returned is called."""
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None
