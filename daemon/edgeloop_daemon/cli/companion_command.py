"""`edgeloop companion`: the app of a phone in a window of this computer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from edgeloop_daemon.cli.session import Session


@click.command()
@click.option("--name", default="", help="What computers call it, until its settings say otherwise.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its pairings and files are kept (default: beside the daemon's).",
)
@click.pass_obj
def companion(session: Session, name: str, state: Path | None) -> None:
    """Open the companion app in a window, and stay until it is closed.

    It is the app of a phone: it pairs with a daemon, here or elsewhere, and runs its tasks. Needs a display, and Kivy, which
    `pip install 'edgeloop[companion]'` installs.
    """
    folder = session.folders.companion if state is None else state
    command = [sys.executable, "-m", "edgeloop_companion.ui", "--state", str(folder), "--name", name]
    os.execv(sys.executable, command)  # noqa: S606 - signals and the terminal are the app's from now on
