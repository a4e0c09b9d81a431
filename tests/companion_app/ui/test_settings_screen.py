"""The screen *Settings*, by touches and by keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeloop_companion.store.settings import Appearance, Language
from edgeloop_companion.ui.fonts import Fonts
from edgeloop_companion.ui.palette import DARK

from .shown_app import ShownApp, shown_app


async def test_another_language_and_another_theme_are_seen_at_once(phone: ShownApp) -> None:
    await phone.goes("settings")
    await phone.sees("Keep the screen on")
    await phone.tap("简体中文")
    await phone.sees("保持屏幕常亮")
    await phone.misses("Keep the screen on")
    await phone.tap("深色")
    await phone.until(lambda: phone.app.palette == DARK, "the dark palette is not used")
    await phone.screenshot("settings-chosen")


async def test_what_was_chosen_is_there_when_the_app_is_started_again(kivy_home: Path, tmp_path: Path) -> None:
    async with shown_app(kivy_home, tmp_path) as phone:
        await phone.goes("settings")
        await phone.tap("Dark")
        await phone.tap("Keep the screen on")
        await phone.until(lambda: phone.settings.keeps_screen_on, "the screen is not kept on")
    async with shown_app(kivy_home, tmp_path) as phone:
        assert phone.settings.appearance is Appearance.DARK
        assert phone.settings.keeps_screen_on
        assert phone.app.palette == DARK


async def test_a_device_is_renamed_by_typing(phone: ShownApp) -> None:
    await phone.goes("settings")
    name = "Name, as computers see it"
    await phone.fill(name, "")
    await phone.sees("A name has 1 to 64 characters")
    assert phone.settings.name == "phone"
    await phone.fill(name, "Pixel 9")
    await phone.misses("A name has 1 to 64 characters")
    assert phone.settings.name == "Pixel 9"


async def test_the_keyboard_alone_will_do(phone: ShownApp) -> None:
    await phone.press("tab")
    while phone.focus() != "Settings":
        await phone.press("tab")
    await phone.press("enter")
    await phone.sees("Let computers find this device")
    while phone.focus() != "Let computers find this device":
        await phone.press("tab")
    await phone.press("space")
    await phone.until(lambda: not phone.settings.is_announced, "the switch was not pressed")


async def test_a_damaged_file_of_settings_is_told(kivy_home: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    async with shown_app(kivy_home, tmp_path) as phone:
        await phone.goes("settings")
        await phone.sees("cannot be read")
        await phone.sees("settings.json.damaged")
        await phone.screenshot("settings-damaged")


async def test_lines_of_chinese_go_on_after_a_latin_word(phone: ShownApp) -> None:
    from edgeloop_companion.ui.widgets.text import Text

    text = Text(text="mDNS 广播广播广播广播广播", size_hint=(None, None), width=130)
    two_lines = Text(text="广播\n广播", size_hint=(None, None), width=130)
    for one in (text, two_lines):
        phone.app.root.add_widget(one)
    await phone.drawn()
    assert text.height == two_lines.height  # of which the first holds some Chinese as well
    assert text.text == "mDNS 广播广播广播广播广播"


async def test_without_a_font_that_draws_chinese_it_is_said_what_happens_and_what_to_do(
    kivy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shown_app(kivy_home, tmp_path / "state") as phone:
        phone.parts.settings.change(language=Language.CHINESE)
    monkeypatch.setattr("edgeloop_companion.ui.app.find_fonts", lambda: Fonts(None))
    async with shown_app(kivy_home, tmp_path / "state") as phone:
        await phone.goes("settings")
        await phone.reaches("No font here draws Chinese.")
        assert phone.shows("Chinese names and logs appear as boxes. Install one")
        await phone.screenshot("settings-without-chinese")
    assert phone.settings.language is Language.CHINESE  # for the day on which there is a font
