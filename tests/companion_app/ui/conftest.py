"""Fixtures of the tests of the screens: the real app, drawn offscreen."""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .shown_app import ShownApp, shown_app


@pytest.fixture(scope="session")
def kivy_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have Kivy draw offscreen in this process; it is imported by the first test that shows the app."""
    missing = [name for name in ("GL", "EGL") if ctypes.util.find_library(name) is None]
    if missing:
        pytest.skip("needs the Debian packages libgl1 and libegl1")
    os.environ.update(SDL_VIDEODRIVER="offscreen", LIBGL_ALWAYS_SOFTWARE="1")
    return tmp_path_factory.mktemp("kivy")


@pytest.fixture
async def phone(kivy_home: Path, tmp_path: Path) -> AsyncIterator[ShownApp]:
    """The app on a phone of 360 by 800, as it is before anything was done with it."""
    async with shown_app(kivy_home, tmp_path / "state") as shown:
        yield shown
