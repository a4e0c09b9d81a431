"""A trace in the terminal, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.output import clean, print_table
from edgeloop_daemon.cli.source_nodes import print_sources

TOP = 10
_WIDTH = 79
_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NAME = 30
_SPANS = 30  # rows of the tree
_INVALID = "Times of single operators mean nothing on that backend, by MNN's own word: compare whole runs."


def show_trace(
    client: Client, run: str, *, by: str = "operator", top: int = TOP, session: int | None = None
) -> dict[str, Any]:
    """Return all that is shown of a trace: the summary, what took longest, the tree of spans."""
    return {
        "summary": client.get(f"/runs/{run}/trace/summary"),
        "by": by,
        "operators": client.items(f"/runs/{run}/trace/operators", by=by, limit=top, session=session),
        "spans": client.items(f"/runs/{run}/trace/spans"),
    }


def print_trace(shown: Mapping[str, Any]) -> None:
    """Print a trace."""
    for line in summary_lines(shown["summary"]):
        click.echo(line)
    _print_sessions(shown["summary"]["sessions"])
    print_spans(shown["spans"])
    print_top(shown["operators"], shown["by"])
    if shown["summary"]["events"] or shown["summary"]["spans"]:
        click.echo(f"\n`edgeloop trace export {shown['summary']['run']}` writes it for Perfetto.")


def summary_lines(summary: Record) -> list[str]:
    """Return the head of a trace: how much there is, the clock, the counters, and what is missing."""
    began = _clock_time(summary["began_at"])
    lines = [
        f"{summary['script']} (run {summary['run']}, {summary['state']}): {_time(summary['duration_ms'])} from {began},"
        f" {summary['events']:,} operator runs, {summary['spans']:,} spans"
    ]
    clock = summary["clock"]
    if clock["is_aligned"]:
        trips = f"{clock['round_trips']} round trips"
        lines.append(f"Clock: this computer's, ± {_time(clock['error_ns'] / 1e6)} ({trips}).")
    else:
        lines.append("Clock: the device's own; nothing is known of how far it is from this computer's.")
    read = [_counter(counter) for counter in summary["counters"]]
    if read:
        lines.append(f"{'; '.join(read)}.")
    lines += _missing(summary)
    return [filled for line in lines for filled in textwrap.wrap(clean(line), _WIDTH, subsequent_indent="  ")]


def print_spans(spans: Sequence[Record]) -> None:
    """Print the tree of spans, the longest first at each depth."""
    if not spans:
        return
    longest = max(row["total_ms"] for row in spans)
    rows = [
        (
            _cut("  " * row["depth"] + _span_name(row), _NAME + 6),
            f"{row['calls']:,}",
            _ms(row["total_ms"]),
            _ms(row["self_ms"]),
            bar(row["total_ms"] / longest if longest else 0.0),
        )
        for row in spans[:_SPANS]
    ]
    click.echo()
    print_table(("spans (ms)", "calls", "total", "self", ""), rows, right=("calls", "total", "self"))
    if len(spans) > _SPANS:
        click.echo(f"... and {len(spans) - _SPANS} more (`--json` lists all)")


def print_top(items: Sequence[Record], by: str) -> None:
    """Print what took longest."""
    if not items:
        return
    rows = [
        (
            _cut(item["name"], _NAME - 8 if by == "operator" else _NAME),
            *([_cut(item["type"], 14)] if by == "operator" else []),
            f"{item['calls']:,}",
            _ms(item["total_ms"]),
            f"{item['p50_ms'] * 1e3:,.1f}",
            f"{item['share']:.0%}",
            bar(item["share"] / items[0]["share"] if items[0]["share"] else 0.0),
        )
        for item in items
    ]
    titles = (by, *(["type"] if by == "operator" else []), "calls", "total ms", "p50 µs", "share", "")
    click.echo()
    print_table(titles, rows, right=("calls", "total ms", "p50 µs", "share"))
    print_sources((item["name"], item["source"]) for item in items)
    if not all(item["has_valid_times"] for item in items):
        say(_INVALID)


def print_comparison(found: Record, top: int) -> None:
    """Print how two traces differ."""
    for session in found["sessions"]:
        model, reference = clean(session["model"]), clean(session["reference_model"])
        names = model if model == reference else f"{model} against {reference}"
        click.echo(f"{names}, {clean(session['backend'])}; ms per run, medians of {session['runs']} parts")
        whole = session["whole"]
        click.echo(
            f"all operators: {_ms(whole['reference_ms'])} -> {_ms(whole['ms'])}  {_percent(whole)}  {_verdict(whole)}"
        )
        telling = _most_telling(session["operators"], top)
        rows = [
            (
                _cut(row["name"], 24),
                _cut(row["type"], 14),
                _ms(row["reference_ms"]),
                _ms(row["ms"]),
                _percent(row),
                f"{row['share']:.0%}",
                _verdict(row),
            )
            for row in telling
        ]
        click.echo()
        titles = ("operator", "type", "before", "after", "change", "share", "")
        print_table(titles, rows, right=("before", "after", "change", "share"))
        print_sources((row["name"], row["source"]) for row in telling)
        if len(session["operators"]) > top:
            click.echo(f"... and {len(session['operators']) - top} more (`--top`, `--json`)")
        for names, where in ((session["only_here"], found["run"]), (session["only_there"], found["reference"])):
            if names:
                say(f"Only in {where}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}.")
        click.echo()
    for note in found["notes"]:
        say(note)


def bar(fraction: float, width: int = _BAR) -> str:
    """Return a bar of blocks over `fraction` (0..1) of `width` columns."""
    eighths = round(8 * width * min(1.0, max(0.0, fraction)))
    if eighths == 0:
        return _EIGHTHS[1] if fraction > 0 else ""
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def say(text: str) -> None:
    """Print a sentence."""
    click.echo(textwrap.fill(clean(text), _WIDTH, subsequent_indent="  "))


def _print_sessions(sessions: Sequence[Record]) -> None:
    if not sessions:
        return
    rows = [
        (
            str(one["session"]),
            _cut(one["model"], _NAME),
            _cut(one["backend"] + ("" if one["has_valid_times"] else " *"), 10),
            str(one["threads"] or "-"),
            _cut(one["precision"] or "-", 8),
            f"{one['operators']:,}",
            f"{one['runs']:,}" if one["operators"] else "-",
            _ms(one["total_ms"]) if one["operators"] else "-",
        )
        for one in sessions[:_SPANS]
    ]
    titles = ("session", "model", "backend", "threads", "precision", "operators", "runs", "ms")
    click.echo()
    print_table(titles, rows, right=("session", "threads", "operators", "runs", "ms"))
    if any(not one["operators"] for one in sessions):
        say("A session without operators has control flow: MNN shows only whole runs of it.")
    if not all(one["has_valid_times"] for one in sessions):
        say(f"* {_INVALID}")


def _missing(summary: Record) -> Iterable[str]:
    if summary["missing"]:
        yield f"Not recorded, because the device does not tell: {', '.join(summary['missing'])}."
    for gap in summary["gaps"]:
        begun, ended = (_clock_time(gap[name]) for name in ("begun_at", "ended_at"))
        why = "it was away and its spool was full" if gap["reason"] == "spool-full" else "its disk was full"
        yield (f"GAP: {gap['items']:,} batches are missing, {begun} to {ended} by the device's clock: {why}.")
    if summary["lost_spans"]:
        yield f"GAP: {summary['lost_spans']:,} spans are missing: the script made them too fast."
    if summary["unreadable_batches"]:
        yield f"GAP: {summary['unreadable_batches']:,} batches could not be read."


def _most_telling(rows: Sequence[Record], top: int) -> list[Record]:
    """Return the rows that changed most, real changes before noise, in the order of their changes."""
    chosen = sorted(rows, key=lambda row: (row["is_noise"], -abs(row["difference_ms"])))[:top]
    return sorted(chosen, key=lambda row: -row["difference_ms"])


def _verdict(row: Record) -> str:
    if row["is_noise"]:
        return "noise"
    return "slower" if row["difference_ms"] > 0 else "faster"


def _percent(row: Record) -> str:
    return f"{row['difference_ms'] / row['reference_ms']:+.1%}" if row["reference_ms"] else "-"


def _span_name(row: Record) -> str:
    prefix = {"run": "run ", "load": "load ", "gc": "GC "}.get(row["kind"], "")
    return f"{prefix}{row['name']}"


def _counter(counter: Record) -> str:
    name, _, unit = counter["name"].rpartition(" ")
    low, high = (
        f"{counter[key]:,.1f}" if abs(counter[key]) < 1000 else f"{counter[key]:,.0f}" for key in ("min", "max")
    )
    return f"{name} {low if low == high else f'{low} to {high}'} {unit}"


def _clock_time(seconds: float) -> str:
    """Return a time of day; a device may say anything."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "some time"


def _time(ms: float) -> str:
    if ms < 1:
        return f"{ms * 1e3:.0f} µs"
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1e3:.2f} s" if ms < 120_000 else f"{ms / 60_000:.1f} min"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
