"""The nodes of the source model behind the operators of a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import click

from edgeloop_daemon.cli.output import clean

_WIDTH = 79


def print_sources(operators: Iterable[tuple[str, str | None]]) -> None:
    """Print which nodes the operators (name and node) come from, where that is known and not the operator's own name."""
    told = {name: node for name, node in operators if node is not None and node.rpartition(" (")[0] != name}
    if told:
        text = ", ".join(f"{clean(name)} is {clean(node)}" for name, node in told.items())
        click.echo(
            textwrap.fill(f"In the source model {text}.", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        )
