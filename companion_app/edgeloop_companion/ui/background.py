"""Going on in the background: Kivy would stand still there, and the companion's links with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from kivy.base import EventLoop

LOOK_SECONDS = 0.2


@contextlib.contextmanager
def going_on_in_background(window: Any) -> Iterator[None]:
    """Let the event loop run on while the app is in the background; nothing is drawn then, because nothing can be drawn upon.

    Kivy's own loops (`EventLoop.async_idle`, `Window.mainloop`) draw, and wait for the end of the pause in a call that blocks.
    """
    idle, mainloop = EventLoop.async_idle, window.mainloop

    async def idle_unless_paused() -> bool:
        if not window._pause_loop:
            return bool(await idle())
        await asyncio.sleep(LOOK_SECONDS)
        return bool(EventLoop.quit)

    def mainloop_unless_paused() -> None:
        if window._pause_loop:
            window._win.poll()  # in here SDL tells that the app comes back
        else:
            mainloop()

    EventLoop.async_idle, window.mainloop = idle_unless_paused, mainloop_unless_paused
    try:
        yield
    finally:
        del EventLoop.async_idle, window.mainloop  # those of their classes are seen again
