"""`edgeloop dap`: what an editor starts to debug a task, speaking the Debug Adapter Protocol on standard input and output."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.output import clean_lines
from edgeloop_daemon.cli.session import Session
from edgeloop_daemon.cli.websocket import WebSocket
from edgeloop_daemon.debugging.dap import Event, MessageReader, Request, Response, encode
from edgeloop_shared.errors import DaemonUnreachableError, EdgeloopError

_PIECE = 65536


@click.command()
@click.option("--session", "name", metavar="ID", help="Attach to this debug session, whatever the editor asks for.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False),
    shell_complete=completers.workspaces,
    help="A folder of the workspace (default: this one, or what the editor's configuration says).",
)
@click.pass_obj
def dap(session: Session, name: str | None, workspace: str | None) -> None:
    """Be an editor's debug adapter, on standard input and output.

    An editor starts it, see `edgeloop debug --config`.
    """
    give = sys.stdout.buffer

    def write(data: bytes) -> None:
        give.write(data)
        give.flush()

    def read() -> bytes:
        return os.read(sys.stdin.fileno(), _PIECE)

    sys.exit(serve(session, read, write, session_id=name, folder=workspace))


def serve(
    session: Session,
    read: Callable[[], bytes],
    write: Callable[[bytes], None],
    *,
    session_id: str | None = None,
    folder: str | None = None,
) -> int:
    """Carry an editor's conversation to the daemon and back until either has gone; return the exit status.

    An error before it begins is the answer to the editor's first request, and on standard error.
    """
    try:
        try:
            socket = connect(session, session_id=session_id, folder=folder)
        except OSError as error:  # the state folder cannot be used
            raise DaemonUnreachableError(f"edgeloop cannot start its daemon: {error}.") from None
    except EdgeloopError as error:
        _complain(error)
        refuse(error, read, write)
        return 1
    ended = threading.Event()

    def carry_back() -> None:
        with suppress(OSError, ValueError):
            while data := socket.receive():
                write(data)
        ended.set()
        # The editor may never write again: only the end of the process ends a read that waits for it.
        finish()

    def finish() -> None:
        status = 0
        if socket.closed_because:
            click.echo(f"edgeloop: {clean_lines(socket.closed_because)}", err=True)
            status = 1
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

    threading.Thread(target=carry_back, daemon=True).start()
    with suppress(OSError):
        while data := read():
            socket.send(data)
    socket.finish()
    ended.wait(5)
    return 0


def connect(session: Session, *, session_id: str | None, folder: str | None) -> WebSocket:
    """Return a connection for an editor that works in `folder` (None: the current one)."""
    path = "/debug/dap" if session_id is None else f"/debug/sessions/{session_id}/dap"
    return WebSocket(session.daemon(), f"{path}?{urlencode({'folder': folder_of(folder)})}")


def folder_of(folder: str | None) -> str:
    """Return an absolute folder as the user spells it: a shell that came through a link keeps its name in `PWD`."""
    if folder is not None:
        return os.path.normpath(Path.cwd() / folder)
    spelled = os.environ.get("PWD", "")
    with suppress(OSError):
        if spelled.startswith("/") and Path(spelled).samefile("."):
            return os.path.normpath(spelled)
    return str(Path.cwd())


def refuse(error: EdgeloopError, read: Callable[[], bytes], write: Callable[[bytes], None]) -> None:
    """Answer an editor's first request with an error."""
    reader = MessageReader()
    body = {"error": {"id": 1, "format": str(error), "showUser": True}}
    with suppress(EdgeloopError, OSError):
        while data := read():
            for message in reader.feed(data):
                if isinstance(message, Request):
                    answer = Response(1, message.seq, message.command, success=False, message=str(error), body=body)
                    write(encode(answer))
                    write(encode(Event(2, "terminated", {})))
                    return


def _complain(error: EdgeloopError) -> None:
    click.echo(f"edgeloop dap: {clean_lines(str(error))}", err=True)
