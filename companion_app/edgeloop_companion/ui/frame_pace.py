"""How often Kivy looks for something to do: at once while something is done or drawn, seldom while nothing is.

Its clock turns sixty times a second even when nothing has changed, which takes some percent of a core and drains a battery.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from kivy.clock import Clock
from kivy.core.window import Window

BUSY_FPS = 60.0
IDLE_FPS = 25.0
"""A first touch waits at most 40 ms for its frame, which nobody feels."""
QUIET_SECONDS = 1.0


@contextlib.contextmanager
def paced_frames() -> Iterator[None]:
    """Turn the clock slowly, for the block, whenever nothing was touched, typed or drawn for `QUIET_SECONDS`."""
    stirred = time.monotonic()

    def stir(*_: object) -> None:
        nonlocal stirred
        stirred = time.monotonic()
        Clock._max_fps = BUSY_FPS

    def look(_: float) -> None:
        if time.monotonic() - stirred > QUIET_SECONDS:
            Clock._max_fps = IDLE_FPS

    events = {"on_flip": stir, "on_motion": stir, "on_key_down": stir}
    Window.bind(**events)
    looking = Clock.schedule_interval(look, QUIET_SECONDS)
    try:
        yield
    finally:
        looking.cancel()
        Window.unbind(**events)
        stir()
