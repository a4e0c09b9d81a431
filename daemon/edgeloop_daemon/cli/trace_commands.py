"""`edgeloop trace` and `edgeloop traces`."""

from __future__ import annotations

import shutil
import sys
import time

import click
from click.shell_completion import CompletionItem

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import POLL_SECONDS, Client, Record
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.named import LAST, find_run
from edgeloop_daemon.cli.output import clean, print_json, print_json_line, print_table, size, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.trace_view import TOP, print_comparison, print_top, print_trace, say, show_trace, summary_lines
from edgeloop_shared.errors import NotFoundError

_GROUPS = ("operator", "type", "session")
_ENDED = ("succeeded", "failed", "cancelled")
_PACE_SECONDS = 1.0  # between two looks at a trace that grows
_SMALL_SHARE = 0.01  # of a model's time: a slower operator below it fails nothing


class TraceGroup(Group):
    """The commands on traces; what is none of them is a script, which is run and traced."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, or `run --trace` with all of them."""
        if arguments[0] in self.commands:
            return super().resolve_command(context, arguments)
        from edgeloop_daemon.cli.run_commands import run  # only where it is needed

        return "run", run, ["--trace", "--summary", *arguments]

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, and what `edgeloop run` would offer in the place of a script."""
        from edgeloop_daemon.cli.run_commands import run  # only where it is needed

        commands = super().shell_complete(context, incomplete)
        if incomplete.startswith("-"):
            return run.shell_complete(click.Context(run, parent=context, resilient_parsing=True), incomplete)
        found = [*commands, *completers.matching_files(completers.SCRIPTS, incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


@click.group(
    cls=TraceGroup,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    subcommand_metavar="COMMAND | SCRIPT [ARGUMENTS]...",
)
def trace() -> None:
    """Run SCRIPT traced, or look into a trace: where does the time go?

    `edgeloop trace SCRIPT` takes the options of `edgeloop run`, before SCRIPT, and shows the trace at the end.
    """


@trace.command()
@click.argument("run", metavar="[RUN]", default=LAST, shell_complete=completers.runs)
@click.option("--top", type=click.IntRange(1, 1000), default=TOP, show_default=True, help="How many rows of operators.")
@click.option("--by", type=click.Choice(_GROUPS), default="operator", show_default=True, help="How to group operators.")
@click.option("--session", "number", type=click.IntRange(0), help="Operators of this session only.")
@json_option
@click.pass_obj
def show(session: Session, run: str, top: int, by: str, number: int | None) -> None:
    """Show sessions, spans, the operators that took longest, memory, the processor, and what is missing."""
    run_id = find_run(session, run)["id"]
    shown = show_trace(session.client, run_id, by=by, top=top, session=number)
    if session.as_json:
        print_json(shown)
    else:
        print_trace(shown)


@trace.command()
@click.argument("before", shell_complete=completers.runs)
@click.argument("after", shell_complete=completers.runs)
@click.option("--top", type=click.IntRange(1, 10_000), default=TOP, show_default=True, help="How many operators.")
@click.option(
    "--max-slowdown",
    type=click.FloatRange(0),
    metavar="PERCENT",
    help="End with status 1 if a model, or an operator with 1% of its time, is slower by more than that, beyond noise.",
)
@json_option
@click.pass_context
def compare(context: click.Context, before: str, after: str, top: int, max_slowdown: float | None) -> None:
    """Compare the traces of two runs: which operator got slower?

    Operators are matched by name, type and shape. A difference counts when the medians of ten parts of each run do not overlap.
    """
    session: Session = context.obj
    run_id, reference_id = (find_run(session, one)["id"] for one in (after, before))
    found = session.client.get(f"/runs/{run_id}/trace/compare/{reference_id}")
    slower = [] if max_slowdown is None else _slower(found, max_slowdown / 100)
    if session.as_json:
        print_json({**found, "slower": slower})
    else:
        print_comparison(found, top)
        if slower:
            say(f"Slower by more than {max_slowdown:g}%: {', '.join(slower)}.")
    context.exit(1 if slower else 0)


@trace.command()
@click.argument("run", metavar="[RUN]", default=LAST, shell_complete=completers.runs)
@click.option(
    "--format",
    "form",
    type=click.Choice(("chrome",)),
    default="chrome",
    show_default=True,
    help="Chrome's trace format.",
)
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Where to write it (default: RUN.trace.json).")
@json_option
@click.pass_obj
def export(session: Session, run: str, form: str, output: str | None) -> None:
    """Write a run's trace in the Chrome trace format, which Perfetto and chrome://tracing open."""
    run_id = find_run(session, run)["id"]
    client = session.client
    summary = client.get(f"/runs/{run_id}/trace/summary")
    target = session.folder / (output or f"{run_id}.trace.json")
    written = client.download_to(f"/runs/{run_id}/trace", target)
    if session.as_json:
        facts = {"path": str(target), "bytes": written, "format": form}
        print_json({**facts, "events": summary["events"], "spans": summary["spans"]})
        return
    click.echo(
        f"{target}: {summary['events']} operator runs, {summary['spans']} spans, {size(written)}."
        " Open it in Perfetto or chrome://tracing."
    )


@trace.command()
@click.argument("run", metavar="[RUN]", default=LAST, shell_complete=completers.runs)
@click.option("--top", type=click.IntRange(1, 1000), default=TOP, show_default=True, help="How many rows of operators.")
@json_option
@click.pass_obj
def watch(session: Session, run: str, top: int) -> None:
    """Follow a trace while its script runs; Ctrl-C stops only the watching. With --json one value per line."""
    run_id = find_run(session, run)["id"]
    client = session.client
    try:
        since = -1
        while True:
            try:
                summary = client.get(f"/runs/{run_id}/trace/summary", since=since, wait=POLL_SECONDS)
            except NotFoundError:
                record = client.get(f"/runs/{run_id}")
                if record["ended_at"] is not None or not record["trace"]:
                    raise
                continue  # it has not begun yet
            if summary["size"] > since or summary["state"] in _ENDED:
                _draw(session, client, summary, top)
            since = summary["size"]
            if summary["state"] in _ENDED:
                return
            time.sleep(_PACE_SECONDS)
    except KeyboardInterrupt:
        return


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Traces of all workspaces.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@json_option
@click.pass_obj
def traces(session: Session, everywhere: bool, limit: int) -> None:
    """List the traces of this workspace's runs, newest first."""
    workspace = None if everywhere else session.workspace()["id"]
    client = session.daemon()
    found = client.items("/traces", workspace=workspace, limit=limit)
    if session.as_json:
        print_json(found)
        return
    if not found:
        click.echo("No trace yet. `edgeloop trace SCRIPT` makes one.")
        return
    rows = [
        (
            item["run"],
            item["script"],
            item["state"],
            when(item["created_at"]),
            f"{item['events']:,}",
            f"{item['spans']:,}",
            str(item["gaps"] or "-"),
            size(item["bytes"]),
        )
        for item in found
    ]
    titles = ("run", "script", "state", "begun", "operators", "spans", "gaps", "size")
    print_table(titles, rows, right=("operators", "spans", "gaps", "size"))


def _draw(session: Session, client: Client, summary: Record, top: int) -> None:
    items = client.items(f"/runs/{summary['run']}/trace/operators", limit=top)
    if session.as_json:
        print_json_line({"summary": summary, "operators": items})
        return
    if not sys.stdout.isatty():
        first = items[0] if items else None
        longest = f"; longest: {clean(first['name'])}, {first['share']:.0%}" if first else ""
        click.echo(f"{summary['state']}: {summary['events']:,} operator runs, {summary['spans']:,} spans{longest}")
        return
    click.echo("\x1b[H\x1b[J", nl=False)
    for line in summary_lines(summary)[: shutil.get_terminal_size().lines - 2]:
        click.echo(line)
    print_top(items, "operator")


def _slower(found: Record, limit: float) -> list[str]:
    """Return what is slower by more than the part `limit`, beyond noise."""
    names = []
    for session in found["sessions"]:
        for row in (session["whole"], *session["operators"]):
            is_large = row is session["whole"] or (row["share"] >= _SMALL_SHARE and session["has_valid_times"])
            if is_large and not row["is_noise"] and row["difference_ms"] > limit * row["reference_ms"]:
                names.append(row["name"] or session["model"])
    return names


trace.add_command(traces, "list")
