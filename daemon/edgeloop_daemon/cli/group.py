"""A group of commands whose help fits a terminal and still says everything."""

from __future__ import annotations

import click

_WHOLE = 1000  # characters: no summary is as long


class Group(click.Group):
    """A group whose help shows the summaries of its commands whole, over two lines where one is too short."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries."""
        commands = {name: self.get_command(context, name) for name in self.list_commands(context)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in commands.items() if one])
