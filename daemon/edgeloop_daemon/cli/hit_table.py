"""Hits of breakpoints on operators in the terminal, 80 columns wide: a table per breakpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import click

from edgeloop_daemon.cli.output import clean, print_table
from edgeloop_daemon.cli.source_nodes import print_sources

_COLUMNS = ("run", "operator", "type", "tensor", "NaN", "inf", "min", "max", "mean")
_RIGHT = ("run", "NaN", "inf", "min", "max", "mean")
_MIN_OPERATOR = 12
_TYPE_WIDTH = 11
_ANSWERS = {"skip": "skipped", "replace": "went on with another tensor", "abort": "aborted the run"}


def print_hits(hits: Sequence[Mapping[str, Any]]) -> None:
    """Print hits, those of a breakpoint together under its text."""
    for number, text in enumerate(dict.fromkeys(hit["breakpoint"] for hit in hits)):
        mine = [hit for hit in hits if hit["breakpoint"] == text]
        if number:
            click.echo()
        click.echo(f"{clean(text)}, {mine[0]['phase']} the operator")
        print_table(_COLUMNS, _fitting([_row(hit) for hit in mine]), right=_RIGHT)
        print_sources((hit["operator"], hit["source"]) for hit in mine)
        for answer, said in _ANSWERS.items():
            if numbers := [hit["number"] for hit in mine if hit["answer"] == answer]:
                click.echo(f"{said} at {len(numbers)} of {len(mine)}" if len(mine) > 1 else said)
        if any(hit["is_last"] for hit in mine):
            click.echo("further hits were counted, not told")


def shape_words(shape: Sequence[int]) -> str:
    """Return a tensor's shape in a few letters: `1x3x224x224`."""
    return "x".join(map(str, shape)) or "scalar"


def figure(value: float | None) -> str:
    """Return a statistic in a few letters; None is one that there is not."""
    return "-" if value is None else f"{value:.3g}"


def _row(hit: Mapping[str, Any]) -> list[str]:
    where = [str(hit["iteration"]), clean(hit["operator"]), clean(hit["operator_type"])]
    if not hit["tensors"]:
        return [*where, "-", *5 * ("",)]
    number = min(hit["tensor"], len(hit["tensors"]) - 1)
    found = hit["tensors"][number]
    return [
        *where,
        f"{'in' if hit['phase'] == 'before' else 'out'}{number} {shape_words(found['shape'])}",
        *(str(found["nan_count"]), str(found["inf_count"])),
        *(figure(found[name]) for name in ("min", "max", "mean")),
    ]


def _fitting(rows: list[list[str]]) -> list[list[str]]:
    """Shorten names, and leave shapes out, until the rows fit into the terminal."""
    operator, kind, tensor = (_COLUMNS.index(name) for name in ("operator", "type", "tensor"))
    room = shutil.get_terminal_size().columns - 2 * (len(_COLUMNS) - 1)

    def spare() -> int:
        """Return what is left for the names of operators."""
        widths = [
            max(map(len, (title, *column))) for title, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True)
        ]
        return room - sum(widths) + widths[operator]

    longest = max(_MIN_OPERATOR, *(len(row[operator]) for row in rows))
    if spare() < longest:
        for row in rows:
            row[kind] = _head(row[kind], _TYPE_WIDTH)
    if spare() < min(longest, 2 * _MIN_OPERATOR):
        for row in rows:
            row[tensor] = row[tensor].partition(" ")[0]
    for row in rows:
        row[operator] = _tail(row[operator], max(_MIN_OPERATOR, spare()))
    return rows


def _head(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def _tail(text: str, width: int) -> str:
    """Return the end of a name that is too long: in a path the last part tells most."""
    return text if len(text) <= width else f"\N{HORIZONTAL ELLIPSIS}{text[1 - width :]}"
