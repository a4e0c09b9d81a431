"""Every place of the bar in both themes and both languages: drawn, written to a folder, and looked at by people.

With EDGELOOP_SCREENSHOTS they are as sharp as on a phone, and there are larger windows as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageStat

from edgeloop_companion.store.settings import Appearance, Language

from .shown_app import IS_LOOKED_AT, ShownApp, shown_app

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
