"""A TCP port on loopback for an editor that cannot start `edgeloop dap`: one editor of this user, and nobody else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgeloop_shared.errors import EdgeloopError, ForbiddenError, PortInUseError

HOST = "127.0.0.1"
BEGIN = b"Content-Length:"
_FIRST_SECONDS = 10.0
_TABLE = Path("/proc/net/tcp")
_LSOF_SECONDS = 10


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback; a `port` of 0 is any free one. Raises `PortInUseError`."""
    try:
        listening = socket.create_server((HOST, port), backlog=8)
    except OSError:
        raise PortInUseError(
            f"Port {port} is used by another program.", hint="Choose another one, or 0 for any free one."
        ) from None
    return listening


def accept_editor(listening: socket.socket, complain: Callable[[str], None]) -> tuple[socket.socket, bytes]:
    """Return the connection of the first editor and what it has said so far; then nobody else can come.

    Whoever is of another user, or does not begin as an editor does (a web page that posts to the port, say), is told nothing and
    cut off; `complain` is told why.
    """
    while True:
        connection, address = listening.accept()
        try:
            check_owner(connection, address)
            return connection, first_bytes(connection)
        except (EdgeloopError, OSError) as error:
            complain(str(error))
            connection.close()


def first_bytes(connection: socket.socket) -> bytes:
    """Return the first bytes of an editor. Raises `ForbiddenError` for somebody who does not speak its protocol."""
    connection.settimeout(_FIRST_SECONDS)
    begin = b""
    while len(begin) < len(BEGIN):
        data = connection.recv(4096)
        begin += data
        if not data or not begin[: len(BEGIN)].lower() == BEGIN.lower()[: len(begin)]:
            raise ForbiddenError(f"Somebody was refused who does not speak the Debug Adapter Protocol: {begin[:40]!r}.")
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return begin


def check_owner(connection: socket.socket, address: tuple[str, int]) -> None:
    """Raise `ForbiddenError` unless the other end of a connection is a process of this user."""
    local = connection.getsockname()
    owner = _owner_in_table(address, local) if _TABLE.exists() else _owner_by_lsof(address[1], local[1])
    if owner != os.geteuid():
        who = "a process that cannot be told" if owner is None else f"a process of user {owner}"
        raise ForbiddenError(f"A connection of {who} was refused.")


def _owner_in_table(remote: tuple[str, int], local: tuple[str, int]) -> int | None:
    """Return the user of the socket that is `remote`'s end, from Linux' table of connections (proc(5))."""
    wanted = [_entry(*remote), _entry(*local)]
    with _TABLE.open() as table:
        for line in table:
            fields = line.split()
            if fields[1:3] == wanted:
                return int(fields[7])
    return None


def _entry(host: str, port: int) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _owner_by_lsof(remote_port: int, local_port: int) -> int | None:
    """Return this user where lsof shows it the other end: it shows a user's own connections only. macOS has lsof."""
    command = ["lsof", "-nP", "-a", "-u", str(os.geteuid()), f"-iTCP@{HOST}:{remote_port}", "-Fn"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LSOF_SECONDS, check=False)
        if f"n{HOST}:{remote_port}->{HOST}:{local_port}" in done.stdout.splitlines():
            return os.geteuid()
    return None
