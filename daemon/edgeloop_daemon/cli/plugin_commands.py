"""`edgeloop plugins`, and `plugins enable` and `disable`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from urllib.parse import quote

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.output import clean_lines, print_json, print_table
from edgeloop_daemon.cli.session import Session, json_option

_WIDTH = 79


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def plugins(context: click.Context) -> None:
    """List the plugins and what each of them offers; enable or disable one."""
    if context.invoked_subcommand is not None:
        return
    session: Session = context.obj
    found = session.daemon().items("/plugins")
    if session.as_json:
        print_json(found)
    else:
        _print_plugins(found)


@plugins.command()
@click.argument("name", shell_complete=completers.plugins)
@json_option
@click.pass_obj
def enable(session: Session, name: str) -> None:
    """Load the plugin NAME again, from the daemon's next start on."""
    _change(session, name, is_enabled=True)


@plugins.command()
@click.argument("name", shell_complete=completers.plugins)
@json_option
@click.pass_obj
def disable(session: Session, name: str) -> None:
    """Leave the plugin NAME out, from the daemon's next start on."""
    _change(session, name, is_enabled=False)


def _change(session: Session, name: str, *, is_enabled: bool) -> None:
    path = f"/plugins/{quote(name, safe='')}"
    plugin = session.daemon().call("PATCH", path, {"is_enabled": is_enabled})
    if session.as_json:
        print_json(plugin)
    elif (plugin["state"] != "disabled") == is_enabled:
        click.echo(f"{name} is {'enabled' if is_enabled else 'disabled'} already: nothing changes.")
    else:
        what = "loaded" if is_enabled else "left out"
        click.echo(f"{name} is {what} from the daemon's next start on: `edgeloop down`, then `edgeloop up`.")


def _print_plugins(found: Sequence[Record]) -> None:
    rows = [(plugin["name"], plugin["version"], _state(plugin)) for plugin in found]
    offers = [[*plugin["tools"], *plugin["backends"], *plugin["templates"], *plugin["operations"]] for plugin in found]
    left = sum(
        max(len(title), *(len(row[i]) for row in rows)) + 2 for i, title in enumerate(("plugin", "version", "state"))
    )
    shown = [_listed(names, _WIDTH - left) for names in offers]
    print_table(("plugin", "version", "state", "offers"), [(*row, text) for row, text in zip(rows, shown, strict=True)])
    for plugin in found:
        if plugin["error"]:
            _print_text(f"{plugin['name']} is left out: {plugin['error']}")
        for remark in plugin["remarks"]:
            _print_text(f"{plugin['name']}: {remark}")


def _listed(names: Sequence[str], width: int) -> str:
    """Return as many of the names as fit."""
    shown = ", ".join(names) or "-"
    count = len(names)
    while len(shown) > width and count > 1:
        count -= 1
        shown = ", ".join([*names[:count], "..."])
    return shown


def _state(plugin: Record) -> str:
    changes = (plugin["state"] == "disabled") == plugin["is_enabled"]
    later = "enabled" if plugin["is_enabled"] else "disabled"
    return f"{plugin['state']}, {later} at the next start" if changes else str(plugin["state"])


def _print_text(text: str) -> None:
    filled = textwrap.fill(clean_lines(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    click.echo(f"\n{filled}", err=True)
