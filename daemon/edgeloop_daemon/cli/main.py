"""`edgeloop`: the command line's entry point."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import click

from edgeloop_daemon.cli import (
    daemon_commands,
    demo_command,
    device_commands,
    job_commands,
    run_commands,
    workspace_commands,
)
from edgeloop_daemon.cli.declared_commands import Declarations
from edgeloop_daemon.cli.output import clean_lines, print_json
from edgeloop_daemon.cli.session import Session
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__
from edgeloop_shared.errors import EdgeloopError

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "First steps": (demo_command.demo, workspace_commands.init),
    "The loop": (job_commands.train, run_commands.run, run_commands.runs, run_commands.trace),
    "Jobs": (job_commands.jobs, job_commands.logs, job_commands.cancel),
    "Devices": (device_commands.devices, device_commands.pair, device_commands.device),
    "The daemon": (
        daemon_commands.up,
        daemon_commands.down,
        daemon_commands.status,
        daemon_commands.plugins,
        workspace_commands.workspaces,
        workspace_commands.trust,
    ),
}
_BUILT_IN = {str(command.name): command for commands in SECTIONS.values() for command in commands}


class CommandLine(click.Group):
    """The built-in commands, and those that plugins declare; a plugin cannot replace a built-in one."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return all names, built-in ones first."""
        return [*_BUILT_IN, *(name for name in self._declared(context) if name not in _BUILT_IN)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command called `name`; plugins' declarations are read only when no built-in one has the name."""
        return _BUILT_IN.get(name) or self._declared(context).get(name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections."""
        declared = tuple(command for name, command in self._declared(context).items() if name not in _BUILT_IN)
        for title, commands in {**SECTIONS, "Tools of plugins": declared}.items():
            if commands:
                with formatter.section(title):
                    formatter.write_dl([(str(command.name), command.get_short_help_str(200)) for command in commands])

    def _declared(self, context: click.Context) -> dict[str, click.Command]:
        found: dict[str, click.Command] | None = context.meta.get("edgeloop.declared")
        if found is None:
            found = Declarations(Folders.of_user()).commands()
            context.meta["edgeloop.declared"] = found
        return found


@click.command(cls=CommandLine)
@click.version_option(__version__, prog_name="edgeloop")
@click.pass_context
def command_line(context: click.Context) -> None:
    """Train a model, shrink it, run it on a real phone, see why it is slow or wrong, and train again."""
    if context.obj is None:
        context.obj = Session(Folders.of_user(), Path.cwd())


def main() -> None:
    """Run the command line; an error of ours is one paragraph (or one JSON value) and exit status 1."""
    session = Session(Folders.of_user(), Path.cwd())
    try:
        # Outside of standalone mode click returns the status of `--help`, `--version` and the like.
        sys.exit(command_line.main(prog_name="edgeloop", obj=session, standalone_mode=False) or 0)
    except EdgeloopError as error:
        if session.as_json:
            print_json({"error": error.as_dict()})
        else:
            _print_error(error)
        sys.exit(1)
    except click.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


def _print_error(error: EdgeloopError) -> None:
    text = clean_lines(f"Error: {error.message} {error.hint}").strip()
    filled = textwrap.fill(text, 79, break_long_words=False, break_on_hyphens=False)
    click.echo(click.style("Error:", fg="red", bold=True) + filled.removeprefix("Error:"), err=True)
    lines = error.details.get("traceback") or error.details.get("native_output")
    if lines:
        shown = lines if isinstance(lines, str) else "\n".join(map(str, lines))
        click.echo(textwrap.indent(clean_lines(shown).rstrip(), "  "), err=True)
