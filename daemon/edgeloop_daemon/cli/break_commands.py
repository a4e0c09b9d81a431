"""`edgeloop break`: breakpoints that a workspace keeps, and (`stop_commands`) runs that wait at one on operators."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.output import print_json, print_table
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.stop_commands import COMMANDS
from edgeloop_daemon.cli.workspace_files import workspace_path
from edgeloop_daemon.debugging.exception_filters import ExceptionFilter
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_breakpoints import ACTIONS, check_hit

_EXCEPTION = "exception:"
_OPERATOR = "op:"


@click.group("break", cls=Group)
def break_() -> None:
    """Breakpoints of the workspace, and runs that wait at an operator."""


for _command in COMMANDS:
    break_.add_command(_command)


@break_.command()
@click.argument("place", metavar="PLACE", shell_complete=completers.files(completers.SCRIPTS))
@click.option(
    "--condition",
    "--when",
    metavar="EXPRESSION",
    help="Stop only when it holds: Python in the frame, or an operator's statistics.",
)
@click.option("--hit", metavar="COUNT", help="Stop only at these hits: 3, '>= 3' or '% 2' (every second).")
@click.option("--action", type=click.Choice(tuple(ACTIONS)), help="Of op: what to do there (default: report).")
@click.option("--first", is_flag=True, help="Of op: only at the first operator of each run of a model.")
@click.option(
    "--reference", metavar="PATH", help="Of op: a folder of .npy files, or one, to compare with in the condition."
)
@click.option("--log", metavar="MESSAGE", help="Print this instead of stopping; {expressions} in it are filled in.")
@json_option
@click.pass_obj
def add(
    session: Session,
    place: str,
    condition: str | None,
    hit: str | None,
    action: str | None,
    first: bool,
    reference: str | None,
    log: str | None,
) -> None:
    """Keep a breakpoint at PLACE: FILE:LINE, op:SELECTOR, exception:raised or exception:uncaught.

    Every debug session of the workspace sets it, and every run one on operators (op:). One that is already there takes these
    conditions.
    """
    if hit is not None:
        check_hit(hit)
    workspace = session.workspace()
    root = Path(workspace["path"])
    body = {
        **_place(place, root, session.folder),
        "condition": condition,
        "hit_condition": hit,
        "log_message": log,
        "action": action,
        "first_only": first,
        "reference": None if reference is None else workspace_path(root, session.folder / reference),
    }
    made = session.daemon().post(f"/workspaces/{workspace['id']}/breakpoints", body)
    if session.as_json:
        print_json(made)
    else:
        click.echo(f"{made['id']} {'is on' if made['kind'] == 'operator' else 'stops at'} {place_of(made)}.")


@break_.command("list")
@json_option
@click.pass_obj
def list_breakpoints(session: Session) -> None:
    """List the breakpoints and what the newest debug session made of them."""
    workspace = session.workspace()
    found = session.daemon().items(f"/workspaces/{workspace['id']}/breakpoints")
    if session.as_json:
        print_json(found)
    elif not found:
        click.echo("No breakpoint yet. `edgeloop break add FILE:LINE` adds one.")
    else:
        rows = [(one["id"], place_of(one), _conditions(one), state_of(one)) for one in found]
        print_table(("id", "place", "when", "state"), rows)


@break_.command()
@click.argument("names", metavar="ID...", nargs=-1, shell_complete=completers.breakpoints)
@click.option("--all", "everything", is_flag=True, help="Remove all of the workspace.")
@json_option
@click.pass_obj
def remove(session: Session, names: tuple[str, ...], everything: bool) -> None:
    """Forget breakpoints, by their ids or places."""
    if bool(names) == everything:
        raise InvalidInputError("Name breakpoints to remove, or say --all.", hint="`edgeloop break list` lists them.")
    workspace = session.workspace()
    path = f"/workspaces/{workspace['id']}/breakpoints"
    client = session.daemon()
    known = {place_of(one): one["id"] for one in client.items(path)}
    chosen = tuple(known.values()) if everything else tuple(known.get(name, name) for name in names)
    for name in chosen:
        if not name.isalnum() or not name.startswith("b"):
            raise InvalidInputError(f"There is no breakpoint {name!r}.", hint="`edgeloop break list` lists them.")
        client.delete(f"{path}/{name}")
    if session.as_json:
        print_json({"removed": chosen})
    else:
        click.echo(f"Removed {', '.join(chosen) or 'nothing: there was none'}.")


def place_of(one: Record) -> str:
    """Return where a breakpoint is, as `add` takes it."""
    if one["kind"] == "line":
        return f"{one['file']}:{one['line']}"
    return str(one["selector"] or f"{_EXCEPTION}{one['filter']}")


def state_of(one: Record) -> str:
    """Return what the newest session made of a breakpoint."""
    verification = one["verification"]
    if verification is None:
        return "not used yet"
    if verification["state"] == "moved":
        return f"moved to line {verification['line']}"
    message = str(verification["message"] or verification["state"])
    if one["kind"] == "operator":  # the names are in --json
        return message.removeprefix("matches ").partition(": ")[0].partition("; ")[0]
    return message


def _conditions(one: Record) -> str:
    parts = (
        one["condition"],
        one["hit_condition"] and f"hit {one['hit_condition']}",
        one["log_message"] and f"log {one['log_message']!r}",
        one["first_only"] and "first only",
        one["action"],
    )
    return ", ".join(part for part in parts if part)


def _place(text: str, root: Path, folder: Path) -> Record:
    """Return what `PLACE` names. Raises `InvalidInputError`."""
    if text.startswith(_OPERATOR):
        return {"kind": "operator", "selector": text}
    if text.startswith(_EXCEPTION):
        chosen = text.removeprefix(_EXCEPTION)
        if chosen not in get_args(ExceptionFilter):
            raise InvalidInputError(
                f"{chosen!r} does not say at which exceptions to stop.",
                hint="Write exception:raised (each one), exception:uncaught (those that nobody catches) or "
                "exception:userUnhandled (those that leave the workspace's files).",
            )
        return {"kind": "exception", "filter": chosen}
    file, _, line = text.rpartition(":")
    if not file or not line.isdecimal():
        raise InvalidInputError(
            f"{text!r} names no place to stop.",
            hint="Write FILE:LINE, op:SELECTOR (op:conv*), exception:raised or exception:uncaught.",
        )
    return {"kind": "line", "file": workspace_path(root, folder / file), "line": int(line)}
