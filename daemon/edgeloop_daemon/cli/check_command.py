"""`edgeloop check`."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.following import follow_tool
from edgeloop_daemon.cli.named import chosen_device, device_option
from edgeloop_daemon.cli.output import clean, print_json, print_table
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_shared.benchmarks import MAX_ROUNDS, MAX_RUNS

_COLUMNS = ("check", "expects", "expected", "found", "verdict")
_FAILED, _ERROR = 1, 2


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=completers.checks)
@device_option
@click.option("--update-baseline", is_flag=True, help="Take the measured latencies as this device's baselines.")
@click.option(
    "--runs", type=click.IntRange(1, MAX_RUNS), default=100, show_default=True, help="Timed runs per latency."
)
@click.option("--rounds", type=click.IntRange(3, MAX_ROUNDS), default=5, show_default=True, help="Interleaved rounds.")
@json_option
@click.pass_context
def check(
    context: click.Context, names: tuple[str, ...], device: str | None, update_baseline: bool, runs: int, rounds: int
) -> None:
    """Check on a device what edgeloop.toml expects of the workspace's models.

    NAMEs are those of the tables [check.NAME]; without one all are checked. The exit status is 0 when every expectation is met, 1
    when one is not or has no baseline, and 2 when something cannot be checked.
    """
    session: Session = context.obj
    session.error_status = _ERROR
    workspace = session.workspace()
    client = session.daemon()
    body = {"names": list(names), "device": chosen_device(client, device), "runs": runs, "rounds": rounds}
    run = follow_tool(client, client.start(f"/workspaces/{workspace['id']}/check", body), "check")
    place = f"/runs/{run['id']}"
    report = client.post(f"{place}/baseline") if update_baseline else client.get(f"{place}/check")
    if session.as_json:
        print_json(report)
    else:
        _print(report, is_updated=update_baseline)
    verdicts = {judgement["verdict"] for judgement in report["judgements"]}
    context.exit(_ERROR if "error" in verdicts else 0 if report["passed"] else _FAILED)


def _print(report: dict[str, Any], *, is_updated: bool) -> None:
    click.echo(f"on {clean(report['device_name'])} ({report['device']})\n")
    judgements = report["judgements"]
    rows = [(one["check"], one["expectation"], one["expected"], one["found"], one["verdict"]) for one in judgements]
    print_table(_COLUMNS, rows)
    for one in judgements:
        if one["note"] and one["verdict"] != "pass":
            _say(f"{one['check']}, {one['expectation']}: {one['note']}", "  ")
    click.echo()
    if is_updated:
        click.echo(f"The latencies are this device's baselines now: commit {report['baselines']}.")
    elif any(one["verdict"] == "no-baseline" for one in judgements):
        _say(
            f"`edgeloop check --update-baseline` measures the missing baselines; then commit {report['baselines']}.", ""
        )
    missed = sum(one["verdict"] != "pass" for one in judgements)
    words = "every expectation is met" if not missed else f"{missed} of {len(judgements)} expectations are not met"
    click.echo(click.style(words, fg="red" if missed else "green"))


def _say(text: str, indent: str) -> None:
    click.echo(textwrap.fill(clean(text), 79, initial_indent=indent, subsequent_indent=indent + "  "))
