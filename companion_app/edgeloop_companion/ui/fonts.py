"""Which font draws a text. Kivy draws a label in one font, and its own has no Chinese."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LATIN = "Roboto"
"""Comes with Kivy."""
CHINESE = "Chinese"
CODE = "data/fonts/RobotoMono-Regular.ttf"
SYMBOLS = "data/fonts/DejaVuSans.ttf"
"""Comes with Kivy too, and has what those two lack: arrows, ticks, the bars and frames that scripts draw of characters."""
SYMBOLS_OF_CODE = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",  # Debian: fonts-dejavu-core
    "/usr/share/fonts/TTF/DejaVuSansMono.ttf",  # Arch
    "/usr/share/fonts/dejavu-sans-mono-fonts/DejaVuSansMono.ttf",  # Fedora
    "/System/Library/Fonts/Menlo.ttc",  # macOS
    "C:/Windows/Fonts/consola.ttf",
)
"""Places of fonts with the same whose characters are equally wide."""
PACKAGES = (("noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"),)
"""Installed from the Python package index by those who want it."""
PLACES = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",  # Debian: fonts-noto-cjk
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",  # Arch
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",  # Fedora
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",  # Debian: fonts-wqy-microhei
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/system/fonts/NotoSansCJK-Regular.ttc",  # Android
    "/system/fonts/NotoSansSC-Regular.otf",
    "/system/fonts/DroidSansFallback.ttf",
    "/System/Library/Fonts/PingFang.ttc",  # macOS
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)

_FAR_EAST = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")

_SYMBOLS = re.compile("[\u0530-\u06ff\u10a0-\u10ff\u2190-\u23ff\u2500-\u28ff]")


def is_far_east(text: str) -> bool:
    """Return whether a Chinese, Japanese or Korean character is in `text`."""
    return _FAR_EAST.search(text) is not None


@dataclass(frozen=True)
class Fonts:
    """The fonts that there are; `chinese` is the file of one that draws Chinese, or None, and `bold` that of its bold face.

    Whoever draws knows both as `CHINESE` where there are both. `symbols_of_code` is the file of one of `SYMBOLS_OF_CODE`, or None.
    """

    chinese: Path | None
    bold: Path | None = None
    symbols_of_code: Path | None = None

    def for_text(self, text: str, is_code: bool = False) -> str:
        """Return the name or the file of the font that draws `text`."""
        if self.chinese is not None and is_far_east(text):
            return CHINESE if self.bold is not None else str(self.chinese)
        if _SYMBOLS.search(text) is not None:
            return str(self.symbols_of_code) if is_code and self.symbols_of_code is not None else SYMBOLS
        return CODE if is_code else LATIN


def find_fonts(places: Iterable[str] = PLACES) -> Fonts:
    """Look for a font that draws Chinese, in a Python package, then where systems keep theirs, and for one with symbols.

    Reads folders only.
    """
    chinese = next((path for path in (*_packaged(), *map(Path, places)) if path.is_file()), None)
    symbols = next((path for path in map(Path, SYMBOLS_OF_CODE) if path.is_file()), None)
    return Fonts(chinese, _bold(chinese) if chinese is not None else None, symbols)


def _bold(regular: Path) -> Path | None:
    """Return the bold face that lies beside a font."""
    names = (regular.name.replace("Regular", "Bold"), "msyhbd.ttc" if regular.name == "msyh.ttc" else regular.name)
    return next((path for name in names if name != regular.name and (path := regular.with_name(name)).is_file()), None)


def _packaged() -> Iterator[Path]:
    for package, file in PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            yield Path(folder) / file
