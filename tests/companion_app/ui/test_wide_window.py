"""A window of a desktop: what was opened from a list stands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion.store.settings import Appearance, Language

from .shown_app import IS_LOOKED_AT, ShownApp, shown_app
from .shown_tasks import started, take

WIDE, NARROW = (1100, 760), (800, 760)
LOOKS = [(language, appearance) for language in Language for appearance in Appearance]


@pytest.fixture
async def desktop(kivy_home: Path, tmp_path: Path) -> AsyncIterator[ShownApp]:
    async with shown_app(kivy_home, tmp_path / "state", width=WIDE[0], height=WIDE[1]) as shown:
        yield shown


async def looks(desktop: ShownApp, name: str) -> None:
    for language, appearance in LOOKS if IS_LOOKED_AT else LOOKS[:1]:
        desktop.parts.settings.change(language=language, appearance=appearance)
        await desktop.screenshot(f"desktop-{name}-{language}-{appearance}")


async def test_a_task_is_seen_beside_the_list_which_goes_on(desktop: ShownApp) -> None:
    take(desktop.parts.tasks, "first.py", run="r1")(started())
    second = take(desktop.parts.tasks, "second.py", run="r2", computer="thinkpad")
    second(started())
    await desktop.goes("tasks")
    await desktop.tap("first.py")
    await desktop.sees("Overview")
    assert desktop.texts().count("first.py") == 2
    row = next(one for one in desktop.widgets() if getattr(one, "is_open", False))
    assert row.task.script == "first.py"
    third = take(desktop.parts.tasks, "third.py", run="r3")
    third(started())
    await desktop.sees("third.py")
    await looks(desktop, "beside-task")
    desktop.parts.settings.change(language=Language.ENGLISH)
    await desktop.tap("second.py")
    await desktop.until(lambda: desktop.texts().count("second.py") == 2, "the other task does not take its place")
    assert desktop.texts().count("first.py") == 1
    await desktop.press("escape")
    await desktop.misses("Overview")
    assert desktop.shows("first.py")
    assert not any(getattr(one, "is_open", False) for one in desktop.widgets())


async def test_a_window_that_becomes_smaller_shows_what_was_opened_and_then_the_list(desktop: ShownApp) -> None:
    from kivy.core.window import Window

    take(desktop.parts.tasks, "first.py")(started())
    await desktop.goes("tasks")
    await desktop.tap("first.py")
    await desktop.sees("Overview")
    Window.size = NARROW
    await desktop.until(lambda: desktop.texts().count("first.py") == 1, "the list stays")
    assert desktop.shows("Overview")
    Window.size = WIDE
    await desktop.until(lambda: desktop.texts().count("first.py") == 2, "the list does not come back")
    Window.size = NARROW
    await desktop.until(lambda: desktop.texts().count("first.py") == 1, "the list stays")
    await desktop.press("escape")
    await desktop.misses("Overview")
    assert desktop.shows("first.py")


async def test_pairing_and_the_doctor_stand_beside_what_they_were_opened_from(desktop: ShownApp) -> None:
    await desktop.tap("Pair a computer")
    await desktop.sees("Without a camera")
    assert desktop.shows("No computer is paired")
    await looks(desktop, "beside-pair")
    desktop.parts.settings.change(language=Language.ENGLISH)
    await desktop.goes("device")
    await desktop.misses("Without a camera")
    await desktop.tap("Doctor")
    await desktop.sees("Client isolation")
    assert desktop.shows("Hardware")
    await looks(desktop, "beside-doctor")
