"""`edgeloop events`: what has happened, and what happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgeloop_daemon.cli.client import POLL_SECONDS, Client, Record
from edgeloop_daemon.cli.output import clean, print_json, print_json_line, size, when
from edgeloop_daemon.cli.session import Session, json_option

_PAGE = 1000
_MOMENTS = frozenset({"expires_at"})
_BYTES = frozenset(
    {("run.transfer", "received"), ("run.transfer", "total"), ("run.file", "size"), ("storage.pruned", "freed_bytes")}
)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C; with --json one value per line.")
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="Begin behind the event with the cursor N.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind (job.failed) or group (job); repeatable.")
@click.option("--all", "everywhere", is_flag=True, help="Events of all workspaces.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=20, show_default=True, help="How many without --since.")
@json_option
@click.pass_obj
def events(
    session: Session, follow: bool, since: int | None, kinds: tuple[str, ...], everywhere: bool, limit: int
) -> None:
    """Show what happens: jobs, runs, devices, workspaces."""
    workspace = None if everywhere else session.workspace()["id"]
    choice = {"workspace": workspace, "kinds": ",".join(kinds) or None}
    found = _events(session.daemon(), choice, since, limit, follow=follow)
    if session.as_json and not follow:
        print_json(list(found))
        return
    try:
        for event in found:
            if session.as_json:
                print_json_line(event)
            else:
                click.echo(event_line(event))
    except KeyboardInterrupt:
        return


def _events(
    client: Client, choice: dict[str, Any], since: int | None, limit: int, *, follow: bool
) -> Iterator[dict[str, Any]]:
    """Yield events; where some are missing, a `reset` that says so."""
    if since is None:
        page = client.get("/events", newest=True, limit=limit, **choice)
    else:
        page = client.get("/events", since=since, limit=_PAGE, **choice)
    while True:
        if page["reset"]:
            yield {"kind": "reset", "data": page["reset"]}
        yield from page["items"]
        if page["next"] >= page["latest"] and not follow:
            return
        wait = POLL_SECONDS if follow else 0
        page = client.get("/events", since=page["next"], limit=_PAGE, wait=wait, **choice)


def event_line(event: Record) -> str:
    """Return an event as one line."""
    if event["kind"] == "reset":
        since, resumes = event["data"]["since"], event["data"]["resumes"]
        if since > resumes:
            return f"(no event has had the cursor {since}: it goes on behind {resumes})"
        return f"(the events between {since} and {resumes} are not kept any more)"
    shown = " ".join(filter(None, (_shown(event["kind"], name, value) for name, value in event["data"].items())))
    return clean(f"{event['cursor']:>6}  {when(event['time'])}  {event['kind']:<18}  {shown}".rstrip())


def _shown(kind: str, name: str, value: Any) -> str:
    """Return a value as a person reads it: names and ids speak for themselves, a number says what it counts."""
    words = name.removeprefix("is_").replace("_", " ")
    if value is None or value is False:
        return ""
    if value is True:
        return words
    if name in _MOMENTS:
        return f"{words} {when(value)}"
    if (kind, name) in _BYTES:
        return size(value) if name == "size" else f"{words} {size(value)}"
    if name == "fraction":
        return f"{value:.0%}"
    return f"{words} {value:g}" if isinstance(value, int | float) else str(value)
