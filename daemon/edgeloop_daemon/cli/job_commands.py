"""`edgeloop train`, `jobs`, `logs` and `cancel`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.following import follow_job
from edgeloop_daemon.cli.named import find_work
from edgeloop_daemon.cli.output import clean, clean_lines, duration, print_json, print_table, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_shared.errors import InvalidInputError


@click.command()
@click.option(
    "--backend",
    shell_complete=completers.backends,
    help="Where to train (default: what edgeloop.toml says, else local).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=completers.settings,
    help="A parameter of the backend.",
)
@click.option("--detach", is_flag=True, help="Return at once; `edgeloop logs -f ID` follows.")
@json_option
@click.pass_obj
def train(session: Session, backend: str | None, settings: tuple[str, ...], detach: bool) -> None:
    """Train the workspace's model from a snapshot of its tree."""
    workspace = session.workspace()
    client = session.daemon()
    body = {"backend": backend, "parameters": dict(_setting(text) for text in settings)}
    job = client.start(f"/workspaces/{workspace['id']}/train", body)
    if not detach:
        job = follow_job(client, job, "train", show_log=not session.as_json)
    if session.as_json:
        print_json(job)
    elif detach:
        click.echo(
            f"Training {job['id']} has begun. `edgeloop logs -f {job['id']}` follows, `edgeloop cancel` stops it."
        )
    else:
        result = job["result"]
        metrics = ", ".join(f"{tag} {value:.4g}" for tag, value in result["metrics"].items())
        click.echo(f"Trained {result['commit'][:10]} in {result['seconds']:.1f} s: {metrics or 'no metrics'}")
        for artifact in result["artifacts"]:
            click.echo(f"  {artifact}")


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Jobs of all workspaces.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@json_option
@click.pass_obj
def jobs(session: Session, everywhere: bool, limit: int) -> None:
    """List the jobs of this workspace, newest first."""
    workspace = None if everywhere else session.workspace()["id"]
    found = session.daemon().items("/jobs", workspace=workspace, limit=limit)
    if session.as_json:
        print_json(found)
    elif not found:
        click.echo("No job yet.")
    else:
        rows = [
            (
                job["id"],
                job["name"],
                job["state"],
                when(job["created_at"]),
                duration(job["started_at"], job["ended_at"]),
            )
            for job in found
        ]
        print_table(("id", "what", "state", "begun", "took"), rows, right=("took",))


@click.command()
@click.argument("work", metavar="ID", shell_complete=completers.work)
@click.option("--follow", "-f", is_flag=True, help="Go on until the job or run ends; Ctrl-C only stops the following.")
@json_option
@click.pass_obj
def logs(session: Session, work: str, follow: bool) -> None:
    """Print the log of a job or of a run on a device."""
    client, meant = session.daemon(), find_work(session, work)
    if meant.is_run:
        lines = client.run_log(meant.id, follow=follow)
        if session.as_json:
            print_json(list(lines))
            return
        for line in lines:
            click.echo(clean(line["text"]), err=line["source"] != "stdout")
    else:
        pieces = client.job_log(meant.id, follow=follow)
        if session.as_json:
            print_json({"text": "".join(pieces)})
            return
        for piece in pieces:
            click.echo(clean_lines(piece), nl=False)
            sys.stdout.flush()


@click.command()
@click.argument("work", metavar="ID", shell_complete=completers.active_work)
@json_option
@click.pass_obj
def cancel(session: Session, work: str) -> None:
    """Cancel a job or a run on a device."""
    meant = find_work(session, work)
    ended = session.client.delete(meant.path)
    if session.as_json:
        print_json(ended)
    else:
        click.echo(
            f"{meant.id} is being cancelled."
            if ended["state"] in ("running", "preparing")
            else f"{meant.id}: {ended['state']}."
        )


def _setting(text: str) -> tuple[str, Any]:
    """Return the name and the value of `NAME=VALUE`; the value is JSON where it reads as such, else text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInputError(f"--set takes NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
