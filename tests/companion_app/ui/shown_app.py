"""The real app as a person has it before them: it is looked at, touched and typed into.

The app runs in the test's own event loop and is drawn offscreen. Touches and keys come in where SDL hands them to Kivy's window,
at the place where what they are meant for is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from edgeloop_companion.scanning.camera import Camera, NoCamera
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_companion.store.settings import Settings
from edgeloop_companion.ui.kivy_setup import WindowSize, set_up_kivy

SECONDS = 60.0
IS_LOOKED_AT = "EDGELOOP_SCREENSHOTS" in os.environ
"""Whether people will look at what is drawn: then it is as sharp as on a phone, in more sizes and every look."""
LARGEST = WindowSize(1240, 2750) if IS_LOOKED_AT else WindowSize(1100, 800)
"""In pixels. What is drawn upon has this size for ever, because SDL changes it on no screen; the window may become smaller.

Every frame fills all of it, whatever the window's size.
"""
NO_CAMERA = NoCamera("Nothing is plugged in.")
KEYS = {"enter": 13, "escape": 27, "tab": 9, "backspace": 8, "space": 32}

Widget = Any


@contextlib.asynccontextmanager
async def shown_app(
    kivy_home: Path,
    state: Path,
    *,
    width: int = 360,
    height: int = 800,
    density: float = 1.0,
    name: str = "phone",
    camera: Camera = NO_CAMERA,
) -> AsyncIterator[ShownApp]:
    """Show the app with its state in `state`, in a window of so many device-independent pixels."""
    set_up_kivy(kivy_home, LARGEST)
    # Not before: Kivy opens its window when it is imported.
    from kivy.core.window import Window
    from kivy.metrics import Metrics

    from edgeloop_companion.ui.app import opened

    Metrics.density = density
    Window.size = round(width * density), round(height * density)
    with locked_state_folder(state) as state_folder:
        async with opened(state_folder, camera=camera, name=name) as (app, parts):
            running = asyncio.create_task(app.async_run("asyncio"))
            shown = ShownApp(app, parts, Window, running)
            try:
                await shown.drawn()
                yield shown
            finally:
                app.stop()
                await running


class ShownApp:
    """What is seen of an app, and what can be done to it."""

    def __init__(self, app: Any, parts: Any, window: Any, running: asyncio.Task[None]) -> None:
        self.app = app
        self.parts = parts
        self._window = window
        self._running = running

    @property
    def settings(self) -> Settings:
        """What has been chosen."""
        value: Settings = self.parts.settings.settings.value
        return value

    # what is seen

    def widgets(self) -> Iterator[Widget]:
        """All widgets that are seen, be it in part; under a question only those of the question."""
        top = self._window.children[0]
        return self._seen(top, (0, 0, *self._window.size))

    def texts(self) -> list[str]:
        """All that can be read now."""
        return [text for widget in self.widgets() if isinstance(text := getattr(widget, "text", None), str) and text]

    def shows(self, text: str) -> bool:
        """Whether `text` can be read now, by itself or within more."""
        return any(text in one for one in self.texts())

    async def sees(self, text: str) -> Widget:
        """Wait until `text` can be read; return the widget that shows it, that of exactly this text before others."""
        await self.until(lambda: self.shows(text), f"{text!r} is not seen")
        return self._find(text)

    async def misses(self, text: str) -> None:
        """Wait until `text` can be read no longer."""
        await self.until(lambda: not self.shows(text), f"{text!r} is still seen")

    def focus(self) -> str:
        """Return what can be read in that which has the focus."""
        from kivy.uix.behaviors import FocusBehavior

        focused = [one for one in FocusBehavior._keyboards.values() if one is not None]
        assert focused, "nothing has the focus"
        return next(text for one in focused[0].walk(restrict=True) if (text := getattr(one, "text", "")))

    async def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait until something holds, looking after every frame."""
        try:
            async with asyncio.timeout(SECONDS):
                while not holds():
                    await self.frame()
        except TimeoutError:
            raise AssertionError(f"{otherwise}; seen are {self.texts()}") from None

    async def frame(self) -> None:
        """Wait until the app has gone once through all that it does in a frame."""
        from kivy.clock import Clock

        passed = asyncio.Event()
        Clock.schedule_once(lambda _: passed.set(), 0)
        waiting = asyncio.create_task(passed.wait())
        await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise AssertionError("the app has ended") from self._running.exception()

    async def drawn(self, then: Callable[[], object] = lambda: None) -> None:
        """Wait until a frame with all that has changed is drawn, and call `then` before it is shown."""
        for _ in range(3):  # a text that has another size moves what is below it in the next frame
            await self.frame()
        flipped = asyncio.Event()

        def flip(_: object) -> None:
            self._window.unbind(on_flip=flip)
            then()
            flipped.set()

        self._window.bind(on_flip=flip)
        self._window.canvas.ask_update()
        async with asyncio.timeout(SECONDS):
            await flipped.wait()

    async def screenshot(self, name: str) -> Path:
        """Write what is drawn into the folder EDGELOOP_SCREENSHOTS, or else beside the state; see that it is a picture."""
        folder = Path(os.environ.get("EDGELOOP_SCREENSHOTS") or self.parts.state_folder.path.parent / "screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        # Afterwards another buffer would be read, which may hold an earlier frame.
        await self.drawn(lambda: Path(self._window.screenshot(str(folder / "screenshot.png"))).replace(path))
        with Image.open(path) as image:
            colours = image.convert("RGB").getcolors(maxcolors=image.width * image.height) or []
            most = max(count for count, _ in colours)
            assert len(colours) > 16, f"{path} has {len(colours)} colours"
            assert most < 0.98 * image.width * image.height, f"{path} is nearly uniform"
        return path

    # what is done

    async def goes(self, place: str) -> None:
        """Touch a place of the bar."""
        bar = self.app.root.ids.bar
        await self.tap(next(item for item in bar.children if item.place.name == place))
        await self.until(lambda: bool(self.app.root.navigation.current == place), f"{place} is not shown")

    def button(self, text: str) -> Widget:
        """Return what is pressed by `text`: the words on a button, and the uppermost of those that have them."""
        from edgeloop_companion.ui.widgets.pressable import Pressable

        return next(one for one in self.widgets() if isinstance(one, Pressable) and getattr(one, "text", "") == text)

    async def tap(self, what: str | Widget) -> None:
        """Touch a widget, or what shows a text, in its middle; it is scrolled into view first."""
        if isinstance(what, str):
            await self.reaches(what)
            await self.drawn()  # what has come just now has its place, and a list its rows, after the next frame
        widget = self._find(what) if isinstance(what, str) else what
        x, y = widget.to_window(*widget.center)
        await self.touch(x, y)

    async def touch(self, x: float, y: float) -> None:
        """Touch the window there, in pixels from its bottom left, and let go in the next frame."""
        y = self._window.height - 1 - y
        self._window.dispatch("on_mouse_down", x, y, "left", [])
        await self.frame()
        self._window.dispatch("on_mouse_up", x, y, "left", [])
        await self.drawn()

    async def reaches(self, text: str) -> Widget:
        """Scroll down, and from the top if need be, until `text` can be read; return the widget that shows it.

        Where a widget of exactly this text is, another one that holds it within more is not meant.
        """
        await self.until(lambda: self._anywhere(text), f"{text!r} is nowhere on the screen")
        is_exact = any(getattr(widget, "text", "") == text for widget in self._window.children[0].walk())
        for wheel in ("scrollup", "scrolldown"):
            for _ in range(60):
                if text in self.texts() or (not is_exact and self.shows(text)):
                    return self._find(text)
                await self.turn(wheel)
        raise AssertionError(f"{text!r} cannot be scrolled into view; seen are {self.texts()}")

    async def turn(self, wheel: str) -> None:
        """Turn the mouse's wheel by a notch in the middle of the window; `scrolldown` moves down what is shown, as SDL has it."""
        x, y = self._window.width / 2, self._window.height / 2
        self._window.dispatch("on_mouse_down", x, y, wheel, [])
        self._window.dispatch("on_mouse_up", x, y, wheel, [])
        await self.frame()

    async def drag(self, widget: Widget, by: float) -> None:
        """Put a finger in the middle of a widget, move it up by so many pixels in ten frames, hold it there and let go."""
        x, y = widget.to_window(*widget.center)
        y = self._window.height - 1 - y
        self._window.dispatch("on_mouse_down", x, y, "left", [])
        for step in range(1, 11):  # the first at once: a finger that rests for a quarter of a second only presses
            self._window.dispatch("on_mouse_move", x, y - by * step / 10, [])
            await self.frame()
        for _ in range(10):
            await self.frame()
        self._window.dispatch("on_mouse_up", x, y - by, "left", [])
        await self.drawn()

    def signal(self, name: str) -> None:
        """Let the system signal something, where SDL hands it to Kivy's window."""
        self._window._event_filter(name)

    async def press(self, key: str, *modifiers: str) -> None:
        """Press a key of the keyboard."""
        code = KEYS.get(key) or ord(key)
        if not self._window.dispatch("on_key_down", code, 0, chr(code), list(modifiers)):
            self._window.dispatch("on_keyboard", code, 0, chr(code), list(modifiers))
        self._window.dispatch("on_key_up", code, 0)
        await self.drawn()

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        for character in text:
            self._window.dispatch("on_textinput", character)
        await self.drawn()

    async def fill(self, field: str, text: str) -> None:
        """Touch the field of that name, and type `text` in the place of what is in it; then press Enter."""
        await self.reaches(field)
        line = next(one for one in self.widgets() if getattr(one, "name", None) == field).ids.line
        await self.tap(line)
        await self.until(lambda: line.focus, f"{field!r} does not take the focus")
        await self.press("a", "ctrl")
        await self.press("backspace")
        await self.type(text)
        await self.press("enter")

    def _find(self, text: str) -> Widget:
        found = [widget for widget in self.widgets() if text in str(getattr(widget, "text", ""))]
        return min(found, key=lambda widget: (widget.text != text, len(widget.text)))

    def _anywhere(self, text: str) -> bool:
        return any(text in str(getattr(widget, "text", "")) for widget in self._window.children[0].walk())

    def _seen(self, widget: Widget, clip: tuple[float, float, float, float]) -> Iterator[Widget]:
        """All of `widget` and below it whose middle lies within `clip` (left, bottom, right, top), in pixels of the window."""
        if not widget.opacity:
            return
        left, bottom = widget.to_window(widget.x, widget.y)
        right, top = widget.to_window(widget.right, widget.top)
        x, y = (left + right) / 2, (bottom + top) / 2
        if clip[0] <= x <= clip[2] and clip[1] <= y <= clip[3]:
            yield widget
        if hasattr(widget, "scroll_y"):
            clip = (max(clip[0], left), max(clip[1], bottom), min(clip[2], right), min(clip[3], top))
        for child in reversed(widget.children):
            yield from self._seen(child, clip)
