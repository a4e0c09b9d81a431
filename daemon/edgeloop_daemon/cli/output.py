"""What the command line prints: tables, JSON, sizes, times and progress."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from edgeloop_shared.progress import progress_bar


def print_json(value: Any) -> None:
    """Print one JSON value on stdout; what could steer a terminal is escaped."""
    click.echo(_harmless(json.dumps(value, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """Print one JSON value of several as one line; what could steer a terminal is escaped."""
    click.echo(_harmless(json.dumps(value, ensure_ascii=False)))


def _harmless(text: str) -> str:
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), indent: str | None = None
) -> bool:
    """Print rows under bold titles; columns named in `right` are aligned to the right.

    With `indent` (put before every line) a table that is wider than the terminal is not printed, and False is returned.
    """
    listed = [tuple(clean(cell) for cell in row) for row in rows]
    widths = [max(len(title), *(len(row[i]) for row in listed), 0) for i, title in enumerate(columns)]
    margin = indent or ""
    if indent is not None and len(margin) + sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return False
    aligned = set(right)

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if title in aligned else cell.ljust(width)
            for cell, width, title in zip(cells, widths, columns, strict=True)
        ]
        return margin + "  ".join(padded).rstrip()

    click.echo(click.style(line(columns), bold=True))
    for row in listed:
        click.echo(line(row))
    return True


def clean(text: str) -> str:
    """Return `text` without control characters: what a device or a log says must not steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def clean_lines(text: str) -> str:
    """Return `text` without control characters other than newlines and tabs."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def size(count: int) -> str:
    """Return a number of bytes as a person reads it, in decimal units."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def when(seconds: float | None) -> str:
    """Return a moment as local time: only the time of day if it is today."""
    if seconds is None:
        return "-"
    moment = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M")


def duration(begin: float | None, end: float | None) -> str:
    """Return the time between two moments (until now, if it has not ended)."""
    if begin is None:
        return "-"
    seconds = max(0.0, (end if end is not None else time.time()) - begin)  # the clock may have been set back
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


class ProgressLine:
    """One line on stderr that shows how far something is. On a pipe it stays silent until something changes to report."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""

    def show(self, fraction: float | None, message: str = "") -> None:
        """Draw the line anew."""
        if not self._is_terminal:
            return
        bar = "" if fraction is None else f"{progress_bar(fraction)} "
        text = clean(f"{self._label} {bar}{message}")[: shutil.get_terminal_size().columns - 1]
        if text != self._shown:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            self._shown = text

    def clear(self) -> None:
        """Remove the line, so that something else can be printed."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = ""
