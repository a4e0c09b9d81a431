"""A worker's control socket: the door through which its companion, and nobody else, reaches into a script's process.

Who connects says in one line what for (`debugger`, say). The worker answers in one line, `{}` or an error as a dictionary, and
from then on the connection belongs to that purpose. It is a UNIX socket in the run's private folder, and the peer must be of
the same user. It is served by threads, since the script has the main one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edgeloop_companion.runtime.memory import CONNECTION_BYTES, MemoryLimit
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import EdgeloopError, NotFoundError

MAX_CONNECTIONS = 16
MAX_PURPOSE_BYTES = 33  # with the end of its line
PURPOSE_SECONDS = 10.0
RETRY_SECONDS = 1.0
_MAX_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS and 108 on Linux, with a NUL
_LOCAL_PEERCRED = 1  # sys/un.h of macOS, at the level SOL_LOCAL, which is 0

Purpose = Callable[[socket.socket], None]
"""Serves one connection until its end. It calls `accept` once it is ready; an `EdgeloopError` before that refuses."""


def accept(connection: socket.socket) -> None:
    """Say that the purpose can be served."""
    connection.sendall(b"{}\n")


class ControlSocket:
    """Serves the connections of one worker, each by what `purposes` names. What that takes is not counted in `limit`."""

    def __init__(self, path: Path, purposes: Mapping[str, Purpose], limit: MemoryLimit) -> None:
        self._purposes = purposes
        self._limit = limit
        self._has_grown = self._is_closed = False
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(path) as short:
            self._listener.bind(short)
        self._listener.listen(MAX_CONNECTIONS)

    def start(self) -> None:
        """Serve from now on."""
        untraced_thread(self._accept_all, "edgeloop-control")

    def close(self) -> None:
        """Serve no new connections. A worker does not need it: its socket ends with it."""
        self._is_closed = True
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread
        self._listener.close()

    def _accept_all(self) -> None:
        while not self._is_closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the script may have used up or closed all descriptors
                time.sleep(RETRY_SECONDS)
            else:
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if peer_uid(connection) != os.getuid() or not self._places.acquire(blocking=False):
            connection.close()
            return
        if not self._has_grown:
            self._has_grown = True
            self._limit.grow(CONNECTION_BYTES)
        try:
            untraced_thread(lambda: self._serve(connection), "edgeloop-control-connection")
        except (MemoryError, RuntimeError):  # the script has taken everything: there is no room for a stack
            self._places.release()
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                try:
                    purpose = self._purposes.get(name := _read_purpose(connection))
                    if purpose is None:
                        raise NotFoundError(
                            f"This app knows no {name!r} of a script.", hint="Update edgeloop on the device."
                        )
                    purpose(connection)
                except EdgeloopError as error:
                    connection.sendall(encode_json(error.as_dict()) + b"\n")
        finally:
            self._places.release()


def connect(path: Path, purpose: str) -> socket.socket:
    """Return a connection to the worker at `path`, to which `purpose` was said; it does not block. Raises `OSError`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(PURPOSE_SECONDS)
        with short_path(path) as short:
            connection.connect(short)
        connection.sendall(purpose.encode() + b"\n")
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


def untraced_thread(run: Callable[[], None], name: str) -> None:
    """Start a thread that no debugger stops."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]  # how pydevd is told so
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]  # and that no user wants to see it
    thread.start()


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name of `path` that is short enough for a UNIX socket, for the block."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="edgeloop-") as folder:
        Path(folder, "f").symlink_to(path.parent)
        yield f"{folder}/f/{path.name}"


def peer_uid(connection: socket.socket) -> int:
    """Return the user that the other end of a UNIX socket belonged to when it connected."""
    if sys.platform == "darwin":
        credentials = connection.getsockopt(0, _LOCAL_PEERCRED, 76)  # struct xucred: version, uid, groups
        return int(struct.unpack_from("=II", credentials)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))  # unix(7)
    return int(struct.unpack("3i", credentials)[1])


def _read_purpose(connection: socket.socket) -> str:
    """Return the first line, and read nothing behind it."""
    connection.settimeout(PURPOSE_SECONDS)
    line = b""
    while not line.endswith(b"\n"):
        if len(line) >= MAX_PURPOSE_BYTES or not (byte := connection.recv(1)):
            raise ConnectionError
        line += byte
    connection.settimeout(None)
    return line[:-1].decode("ascii", "replace")
