"""What can be known of the screens without drawing them: their contrast, their words, their fonts and their signs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgeloop_companion.ui
from edgeloop_companion.link.spool import SpoolDamagedError
from edgeloop_companion.store.settings import Language
from edgeloop_companion.ui.doctor_texts import DOCTOR_TEXTS
from edgeloop_companion.ui.error_texts import CHINESE, explanation, headline
from edgeloop_companion.ui.fonts import CHINESE as CHINESE_FAMILY
from edgeloop_companion.ui.fonts import CODE, LATIN, SYMBOLS, Fonts, find_fonts
from edgeloop_companion.ui.palette import DARK, LIGHT, Palette, contrast
from edgeloop_companion.ui.texts import TEXTS, Words
from edgeloop_shared.errors import EdgeloopError

SOURCES = [path for path in Path(edgeloop_companion.ui.__path__[0]).rglob("*") if path.suffix in (".py", ".kv")]
TEXT_CONTRAST, BORDER_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11, level AA
READ_UPON = {
    "text": ("background", "surface", "pressed", "code"),
    "muted": ("background", "surface", "pressed", "code"),
    "primary": ("background", "surface"),
    "good": ("background", "surface"),
    "warning": ("background", "surface"),
    "error": ("background", "surface"),
    "on_primary": ("primary",),
    "on_error": ("error",),
    "on_primary_surface": ("primary_surface",),
    "on_error_surface": ("error_surface",),
    "on_warning_surface": ("warning_surface",),
}


def test_contrast_is_computed_as_the_guideline_does() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)  # a known near miss
    assert contrast("#FFFFFF", "#777777") == contrast("#777777", "#FFFFFF")


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_everything_can_be_read(palette: Palette) -> None:
    pairs = [(text, surface) for text, surfaces in READ_UPON.items() for surface in surfaces]
    ratios = {pair: contrast(getattr(palette, pair[0]), getattr(palette, pair[1])) for pair in pairs}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < TEXT_CONTRAST} == {}
    for surface in ("background", "surface"):
        assert contrast(palette.border, getattr(palette, surface)) >= BORDER_CONTRAST


def test_every_text_is_there_in_both_languages_and_takes_the_same_values() -> None:
    for key, texts in TEXTS.items():
        assert all(texts), key
        values = [set(re.findall(r"{(\w+)", text)) for text in texts]
        assert values[0] == values[1], key


def test_no_text_is_missing_and_none_is_never_shown() -> None:
    source = "\n".join(path.read_text() for path in SOURCES if path.name != "texts.py")
    asked = set(re.findall(r'words\(\s*"([\w.]+)"', source))
    assert asked <= set(TEXTS)
    named = {key for key in TEXTS if f'"{key}"' in source or key.endswith(".title")}
    assert set(TEXTS) - named - set(DOCTOR_TEXTS) == set()  # what a doctor finds names these


def test_in_chinese_a_space_stands_between_words_of_either_script() -> None:
    touching = re.compile("[\u4e00-\u9fff][A-Za-z0-9{`]|[A-Za-z0-9}`][\u4e00-\u9fff]")
    chinese = {key: text for key, (_, text) in TEXTS.items()} | CHINESE
    assert {key: text for key, text in chinese.items() if touching.search(text)} == {}


def test_every_error_has_a_sentence_in_chinese() -> None:
    ours = (kind for kind in EdgeloopError.registry.values() if kind.__module__.startswith("edgeloop_"))
    assert {SpoolDamagedError.code, *(kind.code for kind in ours)} == {
        code for code in CHINESE if not code.startswith("link-")
    }


def test_an_error_is_told_in_its_own_words_in_english_and_by_its_code_in_chinese() -> None:
    english, chinese = Words(Language.ENGLISH), Words(Language.CHINESE)
    error = "storage-full", "There is no room left."
    assert headline(english, *error) == "There is no room left."
    assert explanation(english, *error, "Free some.") == "Free some."
    assert headline(chinese, *error) == "存储空间已满，请腾出空间。"
    assert explanation(chinese, *error, "Free some.") == "There is no room left.\nFree some."
    assert headline(chinese, "of-a-newer-edgeloop", "Odd.") == "出错了。"
    assert headline(chinese, "", "这是应用自己的话。") == "这是应用自己的话。"
    assert explanation(chinese, "", "这是应用自己的话。", "提示") == "提示"


def test_words_are_those_of_their_language() -> None:
    assert Words(Language.ENGLISH)("app.back") == "Back"
    assert Words(Language.CHINESE)("app.back") == "返回"
    with pytest.raises(KeyError):
        Words(Language.ENGLISH)("app.nothing")


def test_a_font_that_draws_chinese_is_used_for_chinese_alone(tmp_path: Path) -> None:
    font = tmp_path / "chinese.ttc"
    font.touch()
    fonts = find_fonts([str(tmp_path / "none.ttc"), str(font)])
    assert fonts.for_text("laptop") == LATIN
    assert fonts.for_text("laptop 的电脑") == str(font)
    assert Fonts(None).for_text("电脑") == LATIN


def test_what_scripts_draw_of_characters_is_drawn_in_a_font_that_has_them() -> None:
    fonts = Fonts(None, symbols_of_code=Path("mono.ttf"))
    for text in ("10%|█▏  | 1/10", "├── a", "✓ done", "a → b", "⠋ loading"):
        assert fonts.for_text(text, is_code=True) == "mono.ttf"
        assert fonts.for_text(text) == Fonts(None).for_text(text, is_code=True) == SYMBOLS
    for text in ("plain", "Grüße · 5 µs × 3 …", "привет"):
        assert (fonts.for_text(text), fonts.for_text(text, is_code=True)) == (LATIN, CODE)


@pytest.mark.parametrize(
    ("regular", "bold"), [("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"), ("msyh.ttc", "msyhbd.ttc")]
)
def test_a_bold_face_beside_a_font_is_used_too(tmp_path: Path, regular: str, bold: str) -> None:
    (tmp_path / regular).touch()
    assert find_fonts([str(tmp_path / regular)]).bold is None
    (tmp_path / bold).touch()
    fonts = find_fonts([str(tmp_path / regular)])
    assert fonts.bold == tmp_path / bold
    assert fonts.for_text("电脑") == CHINESE_FAMILY
