"""`edgeloop storage` and `edgeloop prune`."""

from __future__ import annotations

import click

from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.output import print_json, print_table, size, when
from edgeloop_daemon.cli.session import Session, json_option

_SHOWN = 20


@click.command()
@click.option("--max-age-days", type=click.FloatRange(0, 36500, min_open=True), help="Keep jobs and runs so long.")
@click.option("--max-gigabytes", type=click.FloatRange(0, 1e6, min_open=True), help="Keep so much in all.")
@click.option("--keep-newest", type=click.IntRange(0, 100_000), help="Keep so many jobs and runs of each workspace.")
@click.option("--max-trace-days", type=click.FloatRange(0, 36500, min_open=True), help="Keep traces so long.")
@click.option("--max-trace-gigabytes", type=click.FloatRange(0, 1e6, min_open=True), help="Keep so much of traces.")
@json_option
@click.pass_obj
def storage(session: Session, /, **given: float | None) -> None:
    """Show what edgeloop keeps here, and set how much it keeps."""
    client = session.daemon()
    changes = {name: value for name, value in given.items() if value is not None}
    if changes:
        client.call("PUT", "/storage/policy", {**client.get("/storage")["policy"], **changes})
    report = client.get("/storage")
    if session.as_json:
        print_json(report)
        return
    rows = [(item["name"], str(item["count"]), size(item["bytes"])) for item in report["items"]]
    rows.append(("total", "", size(report["total_bytes"])))
    print_table(("what", "count", "size"), rows, right=("count", "size"))
    policy = report["policy"]
    click.echo(
        f"\nKept: {policy['max_age_days']:g} days, at most {policy['max_gigabytes']:g} GB, and always the newest"
        f" {policy['keep_newest']} of each\nworkspace. Traces: {policy['max_trace_days']:g} days, at most"
        f" {policy['max_trace_gigabytes']:g} GB. `edgeloop prune` would free\n{size(report['prunable_bytes'])};"
        f" the disk has {size(report['free_bytes'])} free."
    )


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
@click.pass_obj
def prune(session: Session, dry_run: bool) -> None:
    """Remove old jobs and runs, and what belongs to nothing."""
    report = session.daemon().post("/storage/prune", {"dry_run": dry_run})
    if session.as_json:
        print_json(report)
        return
    if report["items"]:
        print_table(("id", "what", "ended", "size", "because of"), map(_row, report["items"][:_SHOWN]), right=("size",))
        if len(report["items"]) > _SHOWN:
            click.echo(f"... and {len(report['items']) - _SHOWN} more (`--json` lists all)")
        click.echo()
    rest = f"{report['blobs']} blobs and {report['leftovers']} leftovers"
    verb = "Would remove" if dry_run else "Removed"
    traces = sum(item["kind"] == "trace" for item in report["items"])
    work = f"{len(report['items']) - traces} jobs and runs, {traces} traces"
    click.echo(f"{verb} {work}, {rest}: {size(report['freed_bytes'])}.")


def _row(item: Record) -> tuple[str, ...]:
    name = f"trace of {item['name']}" if item["kind"] == "trace" else item["name"]
    return (item["id"], name, when(item["ended_at"]), size(item["bytes"]), item["reason"])
