"""The companion with its screens: `python -m edgeloop_companion.ui --state DIR`. It serves until its window is closed."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_companion.ui.kivy_setup import WindowSize, set_up_kivy
from edgeloop_shared import event_loop
from edgeloop_shared.errors import EdgeloopError

HOW_TO_INSTALL = "Install it with `pip install 'edgeloop[companion]'`; `edgeloop device virtual` needs no screen."
NO_SCREEN = (
    "Start it in a desktop session; `edgeloop device virtual` and `python -m edgeloop_companion` need no screen, and "
    "SDL_VIDEODRIVER names another way to draw."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the companion with its screens; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        with locked_state_folder(options.state) as state_folder:
            _run(state_folder, options)
    except EdgeloopError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"Error: The companion cannot work: {error}. Check the folder given with --state.\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeloop_companion.ui",
        description="The companion with its screens: run tasks of paired edgeloop daemons.",
    )
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where pairings and blobs are kept")
    parser.add_argument("--name", default="", help="what the daemon calls this device, until Settings say otherwise")
    parser.add_argument("--workers", type=int, default=8, help="how many tasks run at a time (default: %(default)s)")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="scan the pictures in a folder in place of a camera")
    return parser


def _run(state_folder: StateFolder, options: argparse.Namespace) -> None:
    _check_display()
    set_up_kivy(state_folder.path / "kivy", WindowSize())
    # Imported here, because whatever of Kivy is imported opens the window: nothing does so before the folder is ours.
    from edgeloop_companion.ui.app import serve

    event_loop.run(serve(state_folder, frames=options.frames, name=options.name, max_workers=max(1, options.workers)))


def _check_display() -> None:
    """Raise `EdgeloopError` where there can be no window."""
    if importlib.util.find_spec("kivy") is None:
        raise EdgeloopError("The companion's screens need Kivy, which is not installed.", hint=HOW_TO_INSTALL)
    if sys.platform != "linux" or "ANDROID_ARGUMENT" in os.environ or os.environ.get("SDL_VIDEODRIVER"):
        return
    displays = {"DISPLAY": "x11", "WAYLAND_DISPLAY": "wayland"}
    driver = next((driver for name, driver in displays.items() if os.environ.get(name)), None)
    if driver is None:
        raise EdgeloopError(
            "There is no display for a window here: DISPLAY and WAYLAND_DISPLAY are not set.", hint=NO_SCREEN
        )
    os.environ["SDL_VIDEODRIVER"] = driver  # SDL's own choice ends with one that nobody sees anything of
