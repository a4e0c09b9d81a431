"""Every place of the bar in both themes and both languages: drawn, written to a folder, and looked at by people.

With EDGELOOP_SCREENSHOTS they are as sharp as on a phone, and there are larger windows as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageStat

from edgeloop_companion.store.computers import Computer
from edgeloop_companion.store.settings import Appearance, Language

from .shown_app import IS_LOOKED_AT, ShownApp, shown_app
from .shown_tasks import started, take

FINGER = 48  # device-independent pixels, which Android's guideline for accessibility asks for

SIZES = {"phone": (360, 800), "large-phone": (412, 915), "desktop": (1100, 760)}


def brightness(picture: Path) -> float:
    """Return the mean brightness of a picture, 0 to 1."""
    with Image.open(picture) as image:
        return ImageStat.Stat(image.convert("L")).mean[0] / 255


@pytest.mark.parametrize("size", SIZES if IS_LOOKED_AT else ["phone"])
async def test_every_place_is_drawn_in_both_themes_and_both_languages(
    kivy_home: Path, tmp_path: Path, size: str
) -> None:
    width, height = SIZES[size]
    density = 1.0 if size == "desktop" or not IS_LOOKED_AT else 3.0
    async with shown_app(kivy_home, tmp_path / "state", width=width, height=height, density=density) as phone:
        for place in phone.app.root.navigation.destinations:
            await phone.goes(place.name)
            for language in Language:
                for appearance in Appearance:
                    phone.parts.settings.change(language=language, appearance=appearance)
                    await phone.sees(phone.app.words(f"{place.name}.title"))
                    picture = await phone.screenshot(f"{size}-{place.name}-{language}-{appearance}")
                    assert (brightness(picture) > 0.5) == (appearance is Appearance.LIGHT)


async def test_whatever_is_pressed_has_room_for_a_finger(kivy_home: Path, tmp_path: Path) -> None:
    from edgeloop_companion.ui.widgets.pressable import Pressable

    def too_small(phone: ShownApp) -> dict[str, tuple[float, float]]:
        seen = [one for one in phone.app.root.walk() if isinstance(one, Pressable) and one.opacity]
        assert len(seen) > 4  # more than the bar
        return {
            f"{type(one).__name__} {getattr(one, 'text', '')}": tuple(one.size)
            for one in seen
            if min(one.size) < FINGER
        }

    async with shown_app(kivy_home, tmp_path / "state") as phone:
        take(phone.parts.tasks, "classify.py")(started())
        phone.parts.computers.computers.set((Computer("d1", "laptop", "linked", "10.0.0.2:443", 0.0),))
        for place in ("computers", "tasks", "device", "settings"):
            await phone.goes(place)
            await phone.drawn()
            assert too_small(phone) == {}, place
        await phone.goes("computers")
        await phone.tap("Pair a computer")
        assert too_small(phone) == {}
        await phone.goes("tasks")
        await phone.tap("classify.py")
        await phone.sees("Overview")
        assert too_small(phone) == {}


async def test_a_wide_window_has_its_bar_at_the_side(kivy_home: Path, tmp_path: Path) -> None:
    def bar_and_page(phone: ShownApp) -> tuple[float, float]:
        shell = phone.app.root
        return shell.ids.bar.right, shell.ids.stage.x

    async with shown_app(kivy_home, tmp_path / "state") as phone:
        assert bar_and_page(phone) == (360, 0)
    async with shown_app(kivy_home, tmp_path / "state", width=1100, height=760) as desktop:
        right, page = bar_and_page(desktop)
        assert right == page
        await desktop.screenshot("desktop")
