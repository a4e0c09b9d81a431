"""`edgeloop doctor`: whether everything that edgeloop stands on is as it must be."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap

import click

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.output import clean, print_json
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.doctor.checks import CHECKS, CheckResult, examine
from edgeloop_daemon.doctor.finding import FailedPlugin, RunningDaemon, Subject
from edgeloop_daemon.doctor.network_view import network_view
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.marks import Mark, sign

_COLOURS = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.PROBLEM: "red"}
_NAME_WIDTH = max(len(check.id) for check in CHECKS)
_INDENT = " " * (_NAME_WIDTH + 4)


@click.command()
@json_option
@click.pass_obj
def doctor(session: Session) -> None:
    """Check the installation, and tell the remedy for what is wrong.

    The daemon is asked if it runs, and never started. The exit status is 1 if there is a problem; warnings alone leave it 0.
    """
    subject = _subject(session.client)
    found = examine(subject, report=(lambda _: None) if session.as_json else _print_result)
    if session.as_json:
        print_json(dataclasses.asdict(found))
    else:
        count = {mark: sum(item.mark is mark for item in found.items) for mark in Mark}
        click.echo(f"\n{len(found.items)} checks: {_counted(count[Mark.PROBLEM], 'problem')}, ", nl=False)
        click.echo(f"{_counted(count[Mark.WARNING], 'warning')}.")
    if found.mark is Mark.PROBLEM:
        sys.exit(1)


def _subject(client: Client) -> Subject:
    """Return what is to be looked at, with what a daemon that runs says of itself."""
    try:
        if not client.is_running():
            return Subject(client.folders)
        status = client.get("/status")
        failed = tuple(
            FailedPlugin(plugin["name"], plugin["error"])
            for plugin in client.items("/plugins")
            if plugin["state"] == "failed"
        )
        devices = client.items("/devices")
        daemon = RunningDaemon(
            version=status["version"],
            pid=status["pid"],
            api_port=status["api_port"],
            device_port=status["device_port"],
            device_addresses=tuple(status.get("device_addresses", ())),
            failed_plugins=failed,
            linked=frozenset(device["id"] for device in devices if device["is_linked"]),
            network=network_view(devices, client.get("/devices/nearby")),
        )
    except (EdgeloopError, OSError, ValueError, KeyError, TypeError) as error:
        return Subject(client.folders, None, getattr(error, "message", "") or f"{type(error).__name__}: {error}")
    return Subject(client.folders, daemon)


def _print_result(result: CheckResult) -> None:
    mark = click.style(sign(result.mark, sys.stdout.encoding), fg=_COLOURS[result.mark], bold=True)
    columns = max(40, min(shutil.get_terminal_size().columns, 100) - 1)
    found = _filled(result.found, columns, _INDENT, _INDENT)[len(_INDENT) :]
    click.echo(f"{mark} {result.check:<{_NAME_WIDTH}}  {found}")
    if result.remedy:
        click.secho(_filled(result.remedy, columns, f"{_INDENT}> ", f"{_INDENT}  "), dim=result.mark is Mark.OK)


def _filled(text: str, columns: int, first: str, later: str) -> str:
    return textwrap.fill(
        clean(text),
        columns,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counted(count: int, thing: str) -> str:
    return f"{count or 'no'} {thing}{'' if count == 1 else 's'}"
