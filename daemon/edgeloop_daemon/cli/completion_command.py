"""`edgeloop completion`: the script that makes a shell complete edgeloop's commands."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from edgeloop_daemon.cli.output import print_json
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.shells import NAMES, login_shell, shell_called
from edgeloop_shared.errors import EdgeloopError, InvalidInputError

VARIABLE = "_EDGELOOP_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(NAMES), required=False)
@click.option("--install", is_flag=True, help="Write it to where the shell looks for it.")
@json_option
@click.pass_obj
def completion(session: Session, shell: str | None, install: bool) -> None:
    """Print the script for TAB completion in bash, zsh or fish, or install it.

    Without SHELL it is for the shell that you log in with.
    """
    name = shell or login_shell(os.environ)
    if not name:
        raise InvalidInputError(
            "Your shell has no completion, or SHELL does not name it.", hint=f"Name one of {', '.join(NAMES)}."
        )
    kind = get_completion_class(name)
    assert kind is not None
    # `source` of click's bash would first start bash to see whether it is 4.4 or newer; macOS has 3.2, so ask the template alone.
    completer = kind(click.Command("edgeloop"), {}, "edgeloop", VARIABLE)
    text = completer.source_template % completer.source_vars()
    target = shell_called(name, os.environ)
    if install:
        try:
            target.script.parent.mkdir(parents=True, exist_ok=True)
            target.script.write_text(text)
        except OSError as error:
            raise EdgeloopError(
                f"{target.script} cannot be written: {error.strerror}.",
                hint=f"Put the output of `edgeloop completion {name}` where your shell reads it.",
            ) from None
    if session.as_json:
        print_json({"shell": name, "script": text, "path": str(target.script) if install else None})
    elif install:
        click.echo(f"Installed as {target.script}; a new {name} completes `edgeloop`.")
        if target.further:
            click.echo(target.further)
    else:
        click.echo(text)
