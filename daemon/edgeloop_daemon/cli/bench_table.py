"""A benchmark in the terminal, 80 columns wide."""

from __future__ import annotations

import statistics
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from edgeloop_daemon.cli.output import clean, print_table, size
from edgeloop_shared.benchmarks import BenchResult, Cell, CellResult, InsideUse, Measurement

_COLUMNS = ("cell", "init", "first", "p50", "p90", "p99", "noise", "memory", "cosine")
_POOR_COSINE = 0.99
_BUSY = 0.5  # noise from which on figures are hardly worth comparing


def print_bench(result: BenchResult, device: Mapping[str, Any], run: str, condition: str = "") -> None:
    """Print what was found on a device, of which `device` is what it says of itself, and `condition` how it is now."""
    measured = [one.measurement for one in result.cells if one.measurement is not None]
    click.echo(
        f"{clean(device['name'])} ({clean(device['platform'])}, {device['cores']} cores, MNN {clean(device['mnn_version'])})"
    )
    if measured:
        rounds = measured[0].rounds
        click.echo(f"{sum(one.runs for one in rounds)} runs in {len(rounds)} interleaved rounds; times in ms")
    click.echo(f"inputs: {clean(result.inputs)}")
    for model in dict.fromkeys(one.cell.model for one in result.cells):
        cells = [one for one in result.cells if one.cell.model == model]
        rows = [_row(one.cell, one.measurement) for one in cells if one.measurement is not None]
        click.echo(f"\n{clean(model)}")
        if rows:
            print_table(_COLUMNS, rows, right=_COLUMNS[1:])
        for words in _notes(cells):
            _say(words, indent="  ")
    click.echo()
    _say(result.throttling.words)
    if condition:
        _say(f"How the device says that it is: {clean(condition)}.")
    if measured:
        most = max(one.noise for one in measured)
        busy = " The device was busy: measure again when it is idle." if most > _BUSY else ""
        _say(f"Noise: differences between cells below {most:.0%} mean nothing here.{busy}")
    if result.inside is not None:
        _print_inside(result.inside)
    click.echo(f"`edgeloop bench` kept this as run {run}.")


def _row(cell: Cell, found: Measurement) -> tuple[str, ...]:
    return (
        _name(cell),
        _ms(statistics.median(one.load_ms for one in found.rounds)),
        _ms(statistics.median(one.first_ms for one in found.rounds)),
        _ms(found.p50_ms),
        _ms(found.p90_ms),
        _ms(found.p99_ms),
        f"{found.noise:.0%}",
        size(found.peak_memory_bytes),
        "exact" if found.is_exact else f"{found.cosine:.4f}",
    )


def _notes(cells: Sequence[CellResult]) -> Iterator[str]:
    """Yield what must be known of the cells; those of which the same is said are named together."""
    said: dict[str, list[Cell]] = defaultdict(list)
    for one in cells:
        for words in _words(one):
            said[words].append(one.cell)
    for words, named in said.items():
        yield f"{', '.join(_names(named, [one.cell for one in cells]))}: {words}"


def _names(named: Sequence[Cell], cells: Sequence[Cell]) -> Iterator[str]:
    """Yield short names: that of the backend alone where all of its cells are meant."""
    for backend in dict.fromkeys(cell.backend for cell in cells):
        all_of_it = [cell for cell in cells if cell.backend == backend]
        meant = [cell for cell in all_of_it if cell in named]
        if len(meant) > 1 and len(meant) == len(all_of_it):
            yield backend
        else:
            yield from map(_name, meant)


def _words(one: CellResult) -> Iterator[str]:
    found = one.measurement
    if found is None:
        yield f"not measured, {one.reason}"
        return
    if one.note:
        yield one.note
    if found.not_finite:
        values = "value of the outputs is" if found.not_finite == 1 else "values of the outputs are"
        yield f"{found.not_finite} {values} NaN or infinite"
    if found.cosine < _POOR_COSINE:
        yield "the outputs are far from fp32's: a speed at which they are wrong is worth nothing"


def _print_inside(use: InsideUse) -> None:
    click.echo(f"\nInside {clean(use.script)} ({use.runs} runs, {_name(use.cell)}), medians in ms:")
    rows = [
        ("a whole call", _ms(use.call_ms), ""),
        ("  waiting for another run", _ms(use.waiting_ms), ""),
        ("  inputs", _ms(use.input_ms), ""),
        ("  MNN computes", _ms(use.compute_ms), _ms(use.alone_ms)),
        ("  outputs", _ms(use.output_ms), ""),
        ("between two calls", "-" if use.between_ms is None else _ms(use.between_ms), ""),
    ]
    print_table(("", "in the script", "alone"), rows, right=("in the script", "alone"))
    for words in use.words:
        _say(f"{words[:1].upper()}{words[1:]}.")


def _name(cell: Cell) -> str:
    return f"{cell.backend} {cell.precision} x{cell.threads}"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _say(text: str, indent: str = "") -> None:
    click.echo(textwrap.fill(clean(text), 79, initial_indent=indent, subsequent_indent=indent + "  "))
