"""What Kivy must be told before anything of it is imported: it opens its window then."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WindowSize:
    """The size of the window on a desktop, in device-independent pixels; a phone's app fills its screen."""

    width: int = 412
    height: int = 860


def set_up_kivy(home: Path, size: WindowSize) -> None:
    """Have Kivy keep its own things in `home`, leave logging and arguments alone, and open a window of `size`.

    What the environment says otherwise (KIVY_HOME, KIVY_METRICS_DENSITY) holds. Creates `home`.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("KIVY_HOME", str(home))
    os.environ["KIVY_NO_ARGS"] = "1"
    os.environ["KIVY_NO_FILELOG"] = "1"
    os.environ["KIVY_WINDOW"] = "sdl2"  # where SDL finds no display, others end the process
    os.environ["KIVY_NO_CONFIG"] = "1"
    os.environ["KIVY_LOG_MODE"] = "PYTHON"
    os.environ["SDL_ANDROID_BLOCK_ON_PAUSE"] = "0"  # see `ui.background`
    logging.getLogger("kivy").addFilter(_is_worth_reading)

    from kivy.config import Config  # reads the environment when it is imported

    density = float(os.environ.get("KIVY_METRICS_DENSITY", "1"))
    settings: dict[str, dict[str, object]] = {
        "kivy": {"exit_on_escape": "0", "log_level": "warning"},
        "graphics": {
            "width": round(size.width * density),
            "height": round(size.height * density),
            "minimum_width": 320,
            "minimum_height": 480,
            "multisamples": "0",  # shapes are smoothed where they are drawn; software drivers pay for it everywhere
            "maxfps": "60",
        },
    }
    for section, values in settings.items():
        for key, value in values.items():
            Config.set(section, key, value)
    for device in Config.options("input"):
        Config.remove_option("input", device)  # SDL tells of every touch; what reads /dev/input would tell it again
    Config.set("input", "mouse", "mouse,disable_multitouch")


def _is_worth_reading(record: logging.LogRecord) -> bool:
    """Leave out what Kivy says on its way up, and that there is no program for the middle mouse button's clipboard."""
    return record.levelno >= logging.ERROR and not record.getMessage().startswith("Cutbuffer")
