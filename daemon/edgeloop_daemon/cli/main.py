"""`edgeloop`: the command line's entry point."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from edgeloop_daemon.cli.command_list import BUILT_IN, SECTIONS
from edgeloop_daemon.cli.declarations import Declarations
from edgeloop_daemon.cli.output import clean_lines, print_json
from edgeloop_daemon.cli.session import Session
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__
from edgeloop_shared.errors import EdgeloopError, InvalidInputError


class CommandLine(click.Group):
    """The built-in commands, and those that plugins declare; a plugin cannot replace a built-in one."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return all names, built-in ones first."""
        return [*BUILT_IN, *self._summaries(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command called `name`, of which alone the module is imported."""
        if name in BUILT_IN:
            return BUILT_IN[name].load()
        if name not in self._summaries(context):
            return None
        from edgeloop_daemon.cli.declared_commands import declared_commands  # only where it is needed

        return declared_commands(self._declarations(context)).get(name)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with. Raises `UsageError` that suggests the nearest name."""
        name = arguments[0]
        if not name.startswith("-") and self.get_command(context, name) is None and not context.resilient_parsing:
            near = difflib.get_close_matches(name, self.list_commands(context), n=3)
            # A plugin's commands are those of the daemon's last start: it may be newer than that, disabled or broken.
            hint = f" Did you mean {' or '.join(near)}?" if near else " If a plugin has it, see `edgeloop plugins`."
            raise click.UsageError(f"There is no command {name!r}.{hint}", context)
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections."""
        sections = {title: {one.name: one.summary for one in listed} for title, listed in SECTIONS.items()}
        for title, summaries in {**sections, "Tools of plugins": self._summaries(context)}.items():
            if summaries:
                with formatter.section(title):
                    formatter.write_dl(list(summaries.items()))

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with `incomplete`, or its options."""
        summaries = {name: listed.summary for name, listed in BUILT_IN.items()} | self._summaries(context)
        found = [CompletionItem(name, help=text) for name, text in summaries.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, context, incomplete)]

    def _summaries(self, context: click.Context) -> dict[str, str]:
        summaries = self._declarations(context).summaries()
        return {name: summary for name, summary in summaries.items() if name not in BUILT_IN}

    def _declarations(self, context: click.Context) -> Declarations:
        found: Declarations | None = context.meta.get("edgeloop.declarations")
        if found is None:
            found = context.meta["edgeloop.declarations"] = Declarations(
                Folders.of_user(), refresh=not context.resilient_parsing
            )
        return found


@click.command(cls=CommandLine)
@click.version_option(__version__, prog_name="edgeloop")
@click.pass_context
def command_line(context: click.Context) -> None:
    """Train a model, shrink it, run it on a real phone, see why it is slow or wrong, and train again."""
    if context.obj is None:
        context.obj = Session(Folders.of_user(), Path.cwd())


def main() -> None:
    """Run the command line; an error of ours is one paragraph (or one JSON value), with exit status 1 for most commands."""
    session = Session(Folders.of_user(), Path.cwd())
    try:
        # Outside of standalone mode click returns the status of `--help`, `--version` and the like.
        sys.exit(command_line.main(prog_name="edgeloop", obj=session, standalone_mode=False, color=_colour()) or 0)
    except EdgeloopError as error:
        if session.as_json:
            print_json({"error": error.as_dict()})
        else:
            _print_error(error)
        sys.exit(session.error_status)
    except click.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        # The option itself was perhaps never reached: what is asked for on a wrong line is read off its words.
        if session.as_json or "--json" in sys.argv[1:]:
            print_json({"error": InvalidInputError(error.format_message()).as_dict()})
        else:
            error.show()
        sys.exit(error.exit_code)


def _colour() -> bool | None:
    """Return False where the user wants no colours (see no-color.org), else None: colours on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def _print_error(error: EdgeloopError) -> None:
    text = clean_lines(f"Error: {error.message} {error.hint}").strip()
    filled = textwrap.fill(text, 79, break_long_words=False, break_on_hyphens=False)
    click.echo(click.style("Error:", fg="red", bold=True) + filled.removeprefix("Error:"), err=True, color=_colour())
    lines = error.details.get("traceback") or error.details.get("native_output")
    if lines:
        shown = lines if isinstance(lines, str) else "\n".join(map(str, lines))
        click.echo(textwrap.indent(clean_lines(shown).rstrip(), "  "), err=True)
