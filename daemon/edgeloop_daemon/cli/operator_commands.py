"""`edgeloop hits`: what breakpoints on operators have found."""

from __future__ import annotations

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.hit_table import print_hits
from edgeloop_daemon.cli.named import LAST, find_run
from edgeloop_daemon.cli.output import print_json
from edgeloop_daemon.cli.session import Session, json_option


@click.command()
@click.argument("run_id", metavar="[RUN]", default=LAST, shell_complete=completers.runs)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@click.option("--after", type=click.IntRange(0), default=0, help="Leave the first ones out, up to this number.")
@json_option
@click.pass_obj
def hits(session: Session, run_id: str, limit: int, after: int) -> None:
    """List what breakpoints on operators have found in RUN (default: the newest)."""
    run_id = find_run(session, run_id)["id"]
    page = session.daemon().get(f"/runs/{run_id}/operator-hits", after=after, limit=limit)
    if session.as_json:
        print_json(page["items"])
        return
    if not page["items"]:
        click.echo("No breakpoint on an operator has hit in this run.")
        return
    print_hits(page["items"])
    if page["next"] is not None:
        click.echo(f"There are more: `edgeloop hits {run_id} --after {page['next']}`.")
