"""`edgeloop debug`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.dap_command import serve
from edgeloop_daemon.cli.debug_following import follow_session
from edgeloop_daemon.cli.editor_configurations import EDITORS, WRITTEN, configuration_of, write_configuration
from edgeloop_daemon.cli.editor_port import HOST, accept_editor, listen
from edgeloop_daemon.cli.named import device_option, find_run
from edgeloop_daemon.cli.output import clean, print_json, print_table, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.trace_view import print_trace, show_trace
from edgeloop_daemon.cli.workspace_files import script_to_run
from edgeloop_shared.errors import EdgeloopError, InvalidInputError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("task", required=False, type=click.Path(), shell_complete=completers.files(completers.SCRIPTS))
@click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=completers.files(completers.MODELS + completers.ARRAYS),
)
@device_option
@click.option("--include", "-i", multiple=True, metavar="GLOB", help="Further files that travel with the script.")
@click.option("--wait", is_flag=True, help="Begin only when an editor has attached.")
@click.option(
    "--attach", "attached", metavar="RUN", shell_complete=completers.runs, help="Debug a run that is at work already."
)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Serve one editor on this port of loopback.")
@click.option("--config", "editor", type=click.Choice(EDITORS), help="Print an editor's configuration.")
@click.option("--write", is_flag=True, help="With --config: write it into the workspace, beside what is there.")
@click.option("--list", "listed", is_flag=True, help="List the debug sessions of this workspace.")
@json_option
@click.pass_obj
def debug(
    session: Session,
    task: str | None,
    arguments: tuple[str, ...],
    device: str | None,
    include: tuple[str, ...],
    wait: bool,
    attached: str | None,
    port: int | None,
    editor: str | None,
    write: bool,
    listed: bool,
) -> None:
    """Debug TASK, a script, on a device; ARGUMENTS are its own.

    It stops at the breakpoints of `edgeloop break` and of the editor that attaches, says where, and asks how to go on.
    """
    if task is not None and attached is not None:
        raise InvalidInputError("Name a script to debug or a run to attach to, not both.")
    if editor is not None:
        _configure(session, editor, write=write)
    elif listed:
        _list(session)
    elif attached is not None:
        _attach(session, attached, port=port)
    elif task is not None:
        debug_task(session, task, arguments, device=device, include=include, wait=wait, port=port)
    elif port is not None:
        _serve_port(session, port, None)
    else:
        raise InvalidInputError("Name the script to debug.", hint="`edgeloop debug --config vscode` sets up an editor.")


def debug_task(
    session: Session,
    task: str,
    arguments: tuple[str, ...],
    *,
    device: str | None,
    include: tuple[str, ...],
    trace: bool = False,
    memory: int | None = None,
    wait: bool = False,
    port: int | None = None,
    summary: bool = False,
) -> None:
    """Start a session for a script and follow it, or serve the editor that comes to a port: the script waits for that one.

    With `summary` the trace is shown at the end. Raises what the run raised.
    """
    workspace = session.workspace()
    body = {
        **script_to_run(session, workspace, task, arguments, device=device, include=include),
        "trace": trace,
        "memory_mb": memory,
        "wait": wait or port is not None,
    }
    begun = session.client.post(f"/workspaces/{workspace['id']}/debug/sessions", body)
    try:
        result = _follow(session, workspace, begun, port=port)
    except EdgeloopError:
        if trace and not session.as_json:
            click.echo(f"`edgeloop trace show {begun['run']}` shows its trace up to there.", err=True)
        raise
    if result is None:
        return
    if summary:
        shown = show_trace(session.client, result["run"])
        if session.as_json:
            print_json({"run": session.client.get(f"/runs/{result['run']}"), "session": result, **shown})
        else:
            print_trace(shown)
    elif session.as_json:
        print_json(result)
    elif trace:
        click.echo(f"`edgeloop trace show {result['run']}` shows its trace.", err=True)


def _attach(session: Session, run: str, *, port: int | None) -> None:
    """Debug a run that goes on, and follow it, or serve the editor that comes to a port."""
    workspace = session.workspace()
    body = {"run": find_run(session, run)["id"]}
    begun = session.client.post(f"/workspaces/{workspace['id']}/debug/attach", body)
    result = _follow(session, workspace, begun, port=port, was_running=True)
    if result is not None and session.as_json:
        print_json(result)


def _follow(
    session: Session, workspace: Record, begun: Record, *, port: int | None, was_running: bool = False
) -> Record | None:
    """Return the session at its end; None when an editor has had it, by a port."""
    if port is not None:
        _serve_port(session, port, begun["id"])
        return None
    return follow_session(session.client, begun, workspace, quiet=session.as_json, was_running=was_running)


def _serve_port(session: Session, port: int, name: str | None) -> None:
    """Serve one editor on a port of loopback."""
    session.workspace()
    with listen(port) as listening:
        number = listening.getsockname()[1]
        if session.as_json:
            print_json({"host": HOST, "port": number, "session": name})
        else:
            click.echo(f"Listening on {HOST}:{number} for one editor of yours.")
        connection, begin = accept_editor(listening, lambda text: click.echo(f"edgeloop: {clean(text)}", err=True))
    with connection:
        pieces = [begin]
        serve(session, lambda: pieces.pop() if pieces else connection.recv(65536), connection.sendall, session_id=name)


def _list(session: Session) -> None:
    workspace = session.workspace()
    client = session.daemon()
    found = client.items("/debug/sessions", workspace=workspace["id"])
    if session.as_json:
        print_json(found)
        return
    if not found:
        click.echo("No debug session. `edgeloop debug SCRIPT` begins one.")
        return
    names = {item["id"]: item["info"]["name"] for item in client.items("/devices")}
    rows = [
        (
            one["id"],
            one["script"] or "",
            str(names.get(one["device"], one["device"] or "")),
            f"{one['state']} at {one['pause']['file']}:{one['pause']['line']}" if one["pause"] else one["state"],
            when(one["created_at"]),
        )
        for one in found
    ]
    print_table(("id", "script", "device", "state", "begun"), rows)


def _configure(session: Session, editor: str, *, write: bool) -> None:
    if not write:
        text = configuration_of(editor)
        if session.as_json:
            print_json({"editor": editor, "configuration": text})
        else:
            click.echo(text, nl=False)
        return
    if editor not in WRITTEN:
        raise InvalidInputError(
            f"The configuration of {editor} is the user's, not the workspace's: it is not written.",
            hint=f"`edgeloop debug --config {editor}` prints it, and where it belongs.",
        )
    written = write_configuration(editor, Path(session.workspace()["path"]))
    if session.as_json:
        print_json({"editor": editor, "written": [str(path) for path in written]})
    else:
        click.echo(f"Wrote {', '.join(map(str, written))}." if written else "It is there already; nothing was changed.")
