"""`edgeloop run` and `runs`."""

from __future__ import annotations

import json

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.file_commands import save_files
from edgeloop_daemon.cli.following import follow_run
from edgeloop_daemon.cli.named import device_option
from edgeloop_daemon.cli.output import clean, duration, print_json, print_table, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.trace_view import print_trace, show_trace
from edgeloop_daemon.cli.workspace_files import script_to_run
from edgeloop_shared.errors import EdgeloopError, InvalidInputError
from edgeloop_shared.models import MAX_MEMORY_MB, MIN_MEMORY_MB
from edgeloop_shared.operator_breakpoints import ACTIONS
from edgeloop_shared.progress import progress_fraction, progress_words


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", type=click.Path(), shell_complete=completers.files(completers.SCRIPTS))
@click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=completers.files(completers.MODELS + completers.ARRAYS),
)
@device_option
@click.option("--trace", is_flag=True, help="Record every operator of every model run.")
@click.option(
    "--memory",
    type=click.IntRange(MIN_MEMORY_MB, MAX_MEMORY_MB),
    metavar="MIB",
    help="What the script may allocate (default: edgeloop.toml's, else half of the device's memory).",
)
@click.option("--include", "-i", multiple=True, metavar="GLOB", help="Further files that travel with the script.")
@click.option("--output", "-o", type=click.Path(file_okay=False), help="Folder for the files that the script reports.")
@click.option(
    "--break",
    "breaks",
    multiple=True,
    metavar="OPERATORS",
    help="Break on these operators in this run: op:conv*, or 'op:conv* when abs_max > 9'.",
)
@click.option("--when", metavar="CONDITION", help="The condition of each --break that has none.")
@click.option("--action", type=click.Choice(tuple(ACTIONS)), help="What each --break does (default: report).")
@click.option("--no-breaks", is_flag=True, help="Leave out the workspace's breakpoints on operators.")
@click.option("--debug", "under_debugger", is_flag=True, help="Debug it, as `edgeloop debug` does.")
@click.option("--detach", is_flag=True, help="Return at once; `edgeloop logs -f ID` follows.")
@click.option("--summary", is_flag=True, hidden=True, help="Show the trace at the end: `edgeloop trace SCRIPT`.")
@json_option
@click.pass_obj
def run(
    session: Session,
    script: str,
    arguments: tuple[str, ...],
    device: str | None,
    trace: bool,
    memory: int | None,
    include: tuple[str, ...],
    output: str | None,
    breaks: tuple[str, ...],
    when: str | None,
    action: str | None,
    no_breaks: bool,
    under_debugger: bool,
    detach: bool,
    summary: bool,
) -> None:
    """Run SCRIPT on a device; ARGUMENTS are its own.

    The script, the workspace's Python files, what `[run] include` names and every argument that is a file travel with it.
    """
    if under_debugger:
        from edgeloop_daemon.cli.debug_command import debug_task  # here: it takes a sixth of the time of `run --help`

        others = {"--output": output, "--break": breaks, "--no-breaks": no_breaks, "--detach": detach}
        if refused := [name for name, value in others.items() if value]:
            raise InvalidInputError(
                f"--debug does not go with {', '.join(refused)}.",
                hint="A debug session takes the breakpoints that `edgeloop break add` keeps, and is followed to its end.",
            )
        debug_task(
            session, script, arguments, device=device, include=include, trace=trace, memory=memory, summary=summary
        )
        return
    workspace = session.workspace()
    client = session.daemon()
    body = {
        **script_to_run(session, workspace, script, arguments, device=device, include=include),
        "trace": trace,
        "memory_mb": memory,
        "breakpoints": [_breakpoint(text, when, action) for text in breaks],
        "kept_breakpoints": not no_breaks,
    }
    record = client.start(f"/workspaces/{workspace['id']}/runs", body)
    if detach:
        if session.as_json:
            print_json(record)
        else:
            click.echo(f"Run {record['id']} has begun. `edgeloop logs -f {record['id']}` follows it.")
        return
    try:
        record = follow_run(client, record, "run", show_log=not session.as_json)
    except EdgeloopError:
        if trace and not session.as_json:
            click.echo(f"`edgeloop trace show {record['id']}` shows its trace up to there.", err=True)
        raise
    saved = [] if output is None else save_files(client, record, session.folder / output)
    if session.as_json:
        print_json(record if not summary else {"run": record, **show_trace(client, record["id"])})
        return
    for name, value in record["result"].items():
        text = json.dumps(value)
        click.echo(f"{clean(name)}: {text if len(text) <= 120 else text[:117] + '...'}", err=True)
    for path in saved:
        click.echo(f"saved {path}", err=True)
    if summary:
        print_trace(show_trace(client, record["id"]))
    elif trace:
        click.echo(f"`edgeloop trace show {record['id']}` shows its trace.", err=True)


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Runs of all workspaces.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@json_option
@click.pass_obj
def runs(session: Session, everywhere: bool, limit: int) -> None:
    """List the runs on devices of this workspace, newest first."""
    workspace = None if everywhere else session.workspace()["id"]
    client = session.daemon()
    found = client.items("/runs", workspace=workspace, limit=limit)
    if session.as_json:
        print_json(found)
        return
    if not found:
        click.echo("No run yet. `edgeloop run SCRIPT` starts one.")
        return
    devices = {item["id"]: item for item in client.items("/devices")}
    is_debugged = any(item["debug"] != "off" and item["ended_at"] is None for item in found)
    sessions = client.items("/debug/sessions", workspace=workspace) if is_debugged else []
    pauses = {session["run"]: session["pause"] for session in sessions if session["state"] == "paused"}
    rows = [
        (
            item["id"],
            item["script"],
            str(devices[item["device"]]["info"]["name"] if item["device"] in devices else item["device"]),
            state_words(item, devices.get(item["device"]), pauses.get(item["id"])),
            when(item["created_at"]),
            duration(item["started_at"], item["ended_at"]),
        )
        for item in found
    ]
    print_table(("id", "script", "device", "state", "begun", "took"), rows, right=("took",))


def state_words(run: Record, device: Record | None, pause: Record | None = None) -> str:
    """Return the state of a run as far as this computer can know it: what it waits for, how far it is while it runs.

    `pause` is where its debugger holds it.
    """
    if run["ended_at"] is None and device is not None and not device["is_linked"]:
        return f"{run['state']}, device away"
    if run["state"] == "running" and pause is not None:
        return f"paused at {pause['file']}:{pause['line']}" if pause["file"] else f"paused in {pause['function']}"
    if run["message"]:
        words, _, whose = str(run["message"]).partition(" (")
        return words if run["queue"] and whose else str(run["message"])  # whose the others are, `edgeloop run` tells
    progress = run["progress"]
    if run["state"] != "running" or not progress:
        return str(run["state"])
    fraction = progress_fraction(progress["done"], progress["total"])
    return f"running, {progress_words(progress['done'], None) if fraction is None else f'{fraction:.0%}'}"


def _breakpoint(text: str, when: str | None, action: str | None) -> Record:
    """Return the breakpoint that `SELECTOR` or `SELECTOR when CONDITION` names."""
    selector, _, condition = text.partition(" when ")
    return {"kind": "operator", "selector": selector, "condition": condition or when, "action": action}
