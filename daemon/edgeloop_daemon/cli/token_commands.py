"""`edgeloop token new | list | revoke`."""

from __future__ import annotations

from urllib.parse import quote

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.output import print_json, print_table, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_shared.errors import InvalidInputError


@click.group(cls=Group)
def token() -> None:
    """Tokens for programs that use the local API."""


@token.command()
@click.argument("name")
@json_option
@click.pass_obj
def new(session: Session, name: str) -> None:
    """Make a token called NAME and print it, this once."""
    try:
        made = session.daemon().post("/tokens", {"name": name})
    except InvalidInputError:
        hint = "Use up to 64 letters, digits, `.`, `_` and `-`, the first of them a letter or a digit."
        raise InvalidInputError(f"{name!r} cannot be the name of a token.", hint=hint) from None
    if session.as_json:
        print_json(made)
        return
    click.echo(made["token"])
    click.echo(f"Keep it: nobody can show it again. `edgeloop token revoke {name}` ends it.", err=True)


@token.command("list")
@json_option
@click.pass_obj
def list_tokens(session: Session) -> None:
    """List the tokens and when they were used last."""
    found = session.daemon().items("/tokens")
    if session.as_json:
        print_json(found)
    elif not found:
        click.echo("No token yet. `edgeloop token new NAME` makes one.")
    else:
        rows = [(one["name"], when(one["created_at"]), when(one["last_used"])) for one in found]
        print_table(("name", "made", "last used"), rows)


@token.command()
@click.argument("name", shell_complete=completers.tokens)
@json_option
@click.pass_obj
def revoke(session: Session, name: str) -> None:
    """End the token called NAME, and what it has open."""
    session.daemon().delete(f"/tokens/{quote(name, safe='')}")
    if session.as_json:
        print_json({"revoked": name})
    else:
        click.echo(f"The token {name} is worthless now.")
