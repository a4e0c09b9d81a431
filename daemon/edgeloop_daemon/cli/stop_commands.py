"""`edgeloop break show | continue | skip | replace | dump | abort`: a run that waits at an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.hit_table import figure, shape_words
from edgeloop_daemon.cli.named import LAST, find_run
from edgeloop_daemon.cli.output import clean, duration, print_json, print_table
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.workspace_files import workspace_path
from edgeloop_shared.errors import InvalidInputError, NotFoundError

F = TypeVar("F", bound=Callable[..., Any])
_BARS = " ▁▂▃▄▅▆▇█"
_STATISTICS = ("NaN", "inf", "min", "max", "mean", "std", "p99")
_VALUES_PER_LINE = 6
_SHOWN_VALUES = 60


def _of_a_stop(command: F) -> F:
    """Add the arguments that name a stop: the run (the newest one without), and `--stop` where it waits at several."""
    for add in (
        json_option,
        click.option("--stop", type=click.IntRange(1), help="Which stop, where the run waits at several."),
        click.argument("run_id", metavar="[RUN]", default=LAST, shell_complete=completers.runs),
    ):
        command = add(command)
    return command


@click.command()
@_of_a_stop
@click.option("--tensor", type=click.IntRange(0), help="The numbers of this tensor.")
@click.option("--in", "of_inputs", is_flag=True, help="Of the inputs; without it of the outputs, where there are any.")
@click.option("--slice", "part", metavar="INDEX", default="...", help="A part of the tensor, as in numpy: '0,:,3'.")
@click.pass_obj
def show(session: Session, run_id: str, stop: int | None, tensor: int | None, of_inputs: bool, part: str) -> None:
    """Show the operator at which RUN waits: its tensors, or numbers of one."""
    run = find_run(session, run_id)
    stops = session.daemon().items(f"/runs/{run['id']}/operator-stops")
    if tensor is None and stop is None:
        if session.as_json:
            print_json(stops)
        elif not stops:
            click.echo(f"Run {run['id']} waits at no operator.")
        for one in () if session.as_json else stops:
            _print_stop(one)
        return
    one = _stop(run["id"], stops, stop)
    if tensor is None:
        print_json(one) if session.as_json else _print_stop(one)
        return
    side = "in" if of_inputs or not one["outputs"] else "out"
    path = f"/runs/{run['id']}/operator-stops/{one['stop']}/tensor"
    found = session.daemon().get(path, side=side, tensor=tensor, slice=part)
    if session.as_json:
        print_json(found)
    else:
        _print_part(found, f"{side}[{tensor}]" + (f"[{part}]" if part != "..." else ""))


@click.command("continue")
@_of_a_stop
@click.pass_obj
def continue_(session: Session, run_id: str, stop: int | None) -> None:
    """Let RUN go on."""
    _answer(session, run_id, stop, "continue", "goes on")


@click.command()
@_of_a_stop
@click.pass_obj
def skip(session: Session, run_id: str, stop: int | None) -> None:
    """Leave the operator out and go on; RUN must wait before it."""
    _answer(session, run_id, stop, "skip", "goes on without the operator")


@click.command()
@_of_a_stop
@click.pass_obj
def abort(session: Session, run_id: str, stop: int | None) -> None:
    """End the model's run: the script gets a RunAbortedError."""
    _answer(session, run_id, stop, "abort", "is aborted")


@click.command()
@_of_a_stop
@click.pass_obj
def dump(session: Session, run_id: str, stop: int | None) -> None:
    """Report the operator's tensors as files of RUN, and wait on."""
    _answer(session, run_id, stop, "dump", "has reported the tensors as files (see `edgeloop files`) and waits on")


@click.command()
@_of_a_stop
@click.argument("file", type=click.Path(), required=False, shell_complete=completers.files(completers.ARRAYS))
@click.option("--tensor", type=click.IntRange(0), default=0, show_default=True, help="Which output (before it: input).")
@click.option("--fill", type=float, help="Fill the tensor with this number instead of taking a file.")
@click.pass_obj
def replace(session: Session, run_id: str, stop: int | None, file: str | None, tensor: int, fill: float | None) -> None:
    """Replace a tensor by the .npy FILE of the workspace, and wait on.

    RUN may be left out only with --fill; `last` is the newest one.
    """
    root = None if file is None else Path(session.workspace()["path"])
    body = {
        "tensor": tensor,
        "file": None if root is None or file is None else workspace_path(root, session.folder / file),
        "fill": _told(fill),
    }
    run = find_run(session, run_id)
    one = _stop(run["id"], session.daemon().items(f"/runs/{run['id']}/operator-stops"), stop)
    session.daemon().post(f"/runs/{run['id']}/operator-stops/{one['stop']}/replacement", body)
    _say(session, run["id"], one, "has the new tensor and waits on")


COMMANDS = (show, continue_, skip, replace, dump, abort)


def _answer(session: Session, run_id: str, stop: int | None, answer: str, done: str) -> None:
    run = find_run(session, run_id)
    one = _stop(run["id"], session.daemon().items(f"/runs/{run['id']}/operator-stops"), stop)
    session.daemon().post(f"/runs/{run['id']}/operator-stops/{one['stop']}/answer", {"answer": answer})
    _say(session, run["id"], one, done)


def _say(session: Session, run_id: str, stop: Record, done: str) -> None:
    if session.as_json:
        print_json({"run": run_id, "stop": stop["stop"]})
    else:
        click.echo(f"Run {run_id} {done}.")


def _stop(run_id: str, stops: Sequence[Record], wanted: int | None) -> Record:
    """Return the stop that is meant. Raises `NotFoundError`, and `InvalidInputError` where there are several."""
    found = [one for one in stops if wanted in (None, one["stop"])]
    if not found:
        where = "an operator" if wanted is None else f"a stop {wanted}"
        raise NotFoundError(f"Run {run_id} does not wait at {where}.", hint=f"See `edgeloop break show {run_id}`.")
    if len(found) > 1:
        named = ", ".join(f"{one['stop']} ({clean(one['hit']['operator'])[:40]})" for one in found)
        raise InvalidInputError(f"Run {run_id} waits at several operators: {named}.", hint="Choose one with --stop.")
    return found[0]


def _told(value: float | None) -> float | str | None:
    """Return a number as JSON holds it."""
    if value is None or (value == value and abs(value) != float("inf")):
        return value
    return "nan" if value != value else "inf" if value > 0 else "-inf"


def _print_stop(stop: Record) -> None:
    hit = stop["hit"]
    node = f", node {clean(hit['source'])}" if hit["source"] else ""
    place = f"{hit['phase']} {clean(hit['operator'])} ({clean(hit['operator_type'])} #{hit['index']}{node})"
    click.echo(f"stop {stop['stop']}: {place}, run {hit['iteration']} of {clean(hit['model'])}")
    click.echo(f"{clean(hit['breakpoint'])}; it waits for {duration(stop['begun_at'], None)}")
    if stop["in_debugger"]:
        click.echo("A debugger has it: go on there.")
    tensors = (("in", stop["inputs"]), ("out", stop["outputs"]))
    rows = [
        (f"{side}[{number}]", found["dtype"], shape_words(found["shape"]), *_statistics(found))
        for side, summaries in tensors
        for number, found in enumerate(summaries)
    ]
    print_table(("tensor", "dtype", "shape", *_STATISTICS), rows, right=_STATISTICS)


def _statistics(summary: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(summary["nan_count"]), str(summary["inf_count"]))
    return (*counts, *(figure(summary[name]) for name in ("min", "max", "mean", "std", "p99_abs")))


def _print_part(part: Record, name: str) -> None:
    summary = part["summary"]
    print_table(
        ("tensor", "dtype", "shape", *_STATISTICS),
        [(name, summary["dtype"], shape_words(summary["shape"]), *_statistics(summary))],
        right=_STATISTICS,
    )
    if (histogram := part["histogram"]) is not None and summary["count"] > 1:
        most = max(histogram["counts"])
        bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in histogram["counts"])
        click.echo(f"{figure(histogram['low'])} |{bars}| {figure(histogram['high'])}")
    values = [value if isinstance(value, str) else f"{value:.6g}" for value in part["values"][:_SHOWN_VALUES]]
    for start in range(0, len(values), _VALUES_PER_LINE):
        click.echo("".join(f"{value:>13}" for value in values[start : start + _VALUES_PER_LINE]))
    if (left := summary["count"] - len(values)) > 0:
        click.echo(f"... and {left} more: --slice shows a part, `edgeloop break dump` brings all")
