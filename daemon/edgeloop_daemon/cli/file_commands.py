"""`edgeloop files`: what scripts on devices have reported."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.named import LAST, find_run
from edgeloop_daemon.cli.output import clean, print_json, print_table, size
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_shared.bundles import check_bundle_path


@click.command()
@click.argument("run_id", metavar="[RUN]", default=LAST, shell_complete=completers.runs)
@click.option("--output", "-o", type=click.Path(file_okay=False), help="Save them in this folder, under their names.")
@json_option
@click.pass_obj
def files(session: Session, run_id: str, output: str | None) -> None:
    """List the files that RUN (default: the newest) has reported, or save them."""
    run = find_run(session, run_id)
    saved = [] if output is None else save_files(session.daemon(), run, session.folder / output)
    if session.as_json:
        print_json({"run": run["id"], "files": run["files"], "saved": [str(path) for path in saved]})
    elif output is not None:
        click.echo("\n".join(f"saved {clean(str(path))}" for path in saved) or f"Run {run['id']} has reported no file.")
    elif not run["files"]:
        click.echo(f"Run {run['id']} has reported no file.")
    else:
        rows = [
            (clean(one["name"]), size(one["size"]), "here" if one["is_received"] else "on its way")
            for one in run["files"]
        ]
        print_table(("file", "size", "state"), rows, right=("size",))
        click.echo(f"`edgeloop files {run['id']} --output FOLDER` saves them.")


def save_files(client: Client, run: Record, folder: Path) -> list[Path]:
    """Fetch what a script has reported, under its names; one that would lead out of `folder` raises `BundleError`.

    What is still on its way from the device is left out.
    """
    saved = []
    for item in run["files"]:
        if item["is_received"]:
            check_bundle_path(item["name"])
            target = folder / item["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_to(f"/runs/{run['id']}/files/{quote(item['name'])}", target)
            saved.append(target)
    return saved
