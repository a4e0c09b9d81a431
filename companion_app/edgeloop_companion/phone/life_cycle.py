"""What the system does with the app: it is brought to the front, put into the background, asked to use less memory."""

from __future__ import annotations

from collections.abc import Callable

from edgeloop_shared.device_states import Activity


class LifeCycle:
    """Where the app is in its life. Whoever gets the platform's signals calls `paused`, `resumed` and `memory_is_low`.

    Those who want to know add themselves to the lists; they are called on the event loop, `on_activity` only on a change.
    """

    def __init__(self, activity: Activity | None = None) -> None:
        self.activity = activity
        """None for an app without a screen, which is never in the background."""
        self.on_activity: list[Callable[[], None]] = []
        self.on_low_memory: list[Callable[[], None]] = []

    def paused(self) -> None:
        """The app is in the background now: nobody sees it, and it may be suspended or ended without another word."""
        self._become("background")

    def resumed(self) -> None:
        """The app is seen again."""
        self._become("foreground")

    def memory_is_low(self) -> None:
        """The system asks for memory."""
        for callback in tuple(self.on_low_memory):
            callback()

    def _become(self, activity: Activity) -> None:
        if activity != self.activity:
            self.activity = activity
            for callback in tuple(self.on_activity):
                callback()
