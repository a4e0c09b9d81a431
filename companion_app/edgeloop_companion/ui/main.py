"""The companion with its screens: `python -m edgeloop_companion.ui --state DIR`. It serves until its window is closed."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeloop_companion.events import Failed
from edgeloop_companion.main import show
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_companion.ui.kivy_setup import WindowSize, set_up_kivy
from edgeloop_shared import event_loop
from edgeloop_shared.errors import EdgeloopError

HOW_TO_INSTALL = "Install it with `pip install 'edgeloop[companion]'`."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the companion with its screens; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        with locked_state_folder(options.state) as state_folder:
            _run(state_folder, options)
    except EdgeloopError as error:
        show(Failed(error))
        return 1
    except OSError as error:
        show(Failed(EdgeloopError(f"The companion cannot work: {error}.", hint="Check the folder given with --state.")))
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
    return parser


def _run(state_folder: StateFolder, options: argparse.Namespace) -> None:
    if importlib.util.find_spec("kivy") is None:
        raise EdgeloopError("The companion's screens need Kivy, which is not installed.", hint=HOW_TO_INSTALL)
    set_up_kivy(state_folder.path / "kivy", WindowSize())
    # Imported here, because whatever of Kivy is imported opens the window: nothing does so before the folder is ours.
    from edgeloop_companion.ui.app import serve

    event_loop.run(serve(state_folder, name=options.name, max_workers=max(1, options.workers)))
