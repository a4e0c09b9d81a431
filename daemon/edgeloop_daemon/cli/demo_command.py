"""`edgeloop demo`: the whole loop on real digits, with one table at its end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from edgeloop_daemon.cli.demo import run_demo
from edgeloop_daemon.cli.demo_table import print_demo
from edgeloop_daemon.cli.output import print_json
from edgeloop_daemon.cli.session import Session, json_option


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False),
    default="edgeloop-demo",
    show_default=True,
    help="Folder for the workspace, the report and the trace; an earlier demo there is replaced.",
)
@json_option
@click.pass_obj
def demo(session: Session, output: str) -> None:
    """Go through the whole loop on real digits, and report.

    It trains a model, shrinks it, and runs every variant on a virtual device.

    Everything happens in the output folder, with a daemon of its own: your devices and workspaces stay as they are.
    """
    result = run_demo(Path(session.folder / output))
    if session.as_json:
        print_json(dataclasses.asdict(result))
    else:
        print_demo(result, session.folder)
