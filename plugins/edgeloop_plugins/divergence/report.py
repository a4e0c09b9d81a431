"""The report of a divergence search, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from edgeloop_plugins.divergence.results import DivergeResult, OperatorComparison, Side, StageComparison

WIDTH = 79
AROUND = 3  # operators before and behind the one in question
_BLOCKS = 8
_NOT_FINITE = ("NaN", "inf")
_BEST_DB = 120.0  # of the bar: an empty one


def report_lines(result: DivergeResult, *, show_all: bool) -> Iterator[str]:
    """Yield the lines of the report: the verdict first, then what it rests on."""
    yield from textwrap.wrap(result.verdict, WIDTH)
    for cause in result.causes:
        yield from textwrap.wrap(f"- {cause}", WIDTH, subsequent_indent="  ")
    yield ""
    yield from _side("device", result.device)
    yield from _side("reference", result.reference)
    yield from textwrap.wrap(f"inputs     {result.inputs}", WIDTH, subsequent_indent=" " * 11)
    sent = f"{_size(result.sent_bytes)} to the device, {_size(result.received_bytes)} back"
    yield f"over link  {sent}, {result.seconds:.1f} s; agreement from {result.min_snr_db:g} dB on"
    if result.stages:
        yield ""
        yield f"  {'stage':24} {'shape':>18} {'SNR':>9}"
        for one in result.stages:
            yield _stage_line(one, result.stage)
    if result.operators and (show_all or result.finding != "stage"):
        yield ""
        yield f"  {'#':>4} {'operator':30} {'type':14} {'in':>7} {'out':>7}  error"
        yield from _operator_lines(result, show_all=show_all)
    if result.outputs and result.finding in ("output", "none"):
        yield ""
        yield f"  {'output':24} {'shape':>18} {'SNR':>9}"
        for one in result.outputs:
            yield _stage_line(one, result.operator)
    yield from _difference_lines(result)
    if result.unmatched:
        yield ""
        listed = ", ".join(result.unmatched[:6]) + (", ..." if len(result.unmatched) > 6 else "")
        yield from textwrap.wrap(f"without counterpart: {listed}", WIDTH, subsequent_indent="  ")
    for note in result.notes:
        yield from textwrap.wrap(f"note: {note}", WIDTH, subsequent_indent="  ")


def decibels(value: float | None) -> str:
    """Return a signal-to-noise ratio in few letters."""
    return "-" if value is None else f"{value:.0f} dB"


def _side(label: str, side: Side) -> Iterable[str]:
    parts = ", ".join(part for part in (f"{side.place}: {side.model}", side.options, side.engine) if part)
    return textwrap.wrap(f"{label:11}{parts}", WIDTH, subsequent_indent=" " * 11)


def _stage_line(one: StageComparison, culprit: str) -> str:
    mark = ">" if one.name == culprit else " "
    shape = "x".join(map(str, one.shape)) or "scalar"
    value = "exact" if one.agrees and one.snr_db is None else one.note if one.snr_db is None else decibels(one.snr_db)
    return f"{mark} {_cut(one.name, 24):24} {_cut(shape, 18):>18} {value:>9}"[:WIDTH]


def _operator_lines(result: DivergeResult, *, show_all: bool) -> Iterator[str]:
    rows = result.operators
    place = next((at for at, one in enumerate(rows) if one.index == _index(result)), len(rows) - 1)
    shown = range(len(rows))
    if not show_all:
        shown = range(max(0, place - AROUND), min(len(rows), place + AROUND + 1))
    if shown.start:
        yield f"  {'':4} ({shown.start} before these: {_summary(rows[: shown.start])})"
    for at in shown:
        yield _operator_line(rows[at], is_culprit=rows[at].index == _index(result))
    if shown.stop < len(rows):
        yield f"  {'':4} ({len(rows) - shown.stop} behind these: {_summary(rows[shown.stop :])}; --all lists them)"


def _index(result: DivergeResult) -> int:
    return next((one.index for one in result.operators if one.name == result.operator), -1)


def _operator_line(one: OperatorComparison, *, is_culprit: bool) -> str:
    mark = ">" if is_culprit else " "
    return (
        f"{mark} {one.index:>4} {_cut(one.name, 30):30} {_cut(one.type, 14):14} {_figure(one.in_snr_db, one.in_exact):>7}"
        f" {one.note if one.note in _NOT_FINITE else _figure(one.out_snr_db, one.out_exact):>7}  {_bar(one)}"
    ).rstrip()


def _figure(value: float | None, is_exact: bool) -> str:
    return "exact" if is_exact else decibels(value)


def _bar(one: OperatorComparison) -> str:
    if one.note in _NOT_FINITE:
        return "#" * _BLOCKS
    if one.out_snr_db is None:
        return ""
    part = 1 - min(max(one.out_snr_db, 0.0), _BEST_DB) / _BEST_DB
    return "#" * round(part * _BLOCKS)


def _summary(rows: Sequence[OperatorComparison]) -> str:
    known = [one.out_snr_db for one in rows if one.out_snr_db is not None]
    return "exact" if not known else f"{min(known):.0f} dB and better"


def _difference_lines(result: DivergeResult) -> Iterator[str]:
    found = result.difference
    if found is None:
        return
    yield ""
    of = "" if found.values == found.of else f" of {found.of} (the slices that differ most)"
    yield from textwrap.wrap(f"{found.tensor}, {found.values} values{of}:", WIDTH)
    figures = [
        f"cosine {found.cosine:.6f}" if found.cosine is not None else "",
        f"SNR {found.snr_db:.1f} dB" if found.snr_db is not None else "",
        f"max relative error {found.max_relative_error:.3g}" if found.max_relative_error is not None else "",
        f"{found.mismatches} values are finite on one side only" if found.mismatches else "",
    ]
    if any(figures):
        yield "  " + ", ".join(one for one in figures if one)
    yield f"  at {list(found.index)}: {found.found} on the device, {found.expected} in the reference"
    yield from textwrap.wrap(f"{found.spread}", WIDTH, initial_indent="  ", subsequent_indent="  ")


def _cut(text: str, width: int) -> str:
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= width else f"{plain[: width - 12]}..{plain[-10:]}"


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"
