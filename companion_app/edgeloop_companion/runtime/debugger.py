"""debugpy in a worker, without a process and without a port of its own.

debugpy's listener obeys whoever connects to it, so it is given none: pydevd, the debugger inside debugpy, asks for a
listening socket, and gets one that hands it the connections that have come through the worker's control socket. One client at
a time; when it goes, however that happens, its breakpoints go and the script goes on. debugpy is imported only when it is
needed: it costs a third of a second and some thirty megabytes.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import platform
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from edgeloop_companion.runtime import debug_views
from edgeloop_companion.runtime.control_socket import accept, untraced_thread
from edgeloop_companion.runtime.memory import DEBUGGER_BYTES, MemoryLimit
from edgeloop_companion.runtime.pauses import Pauses
from edgeloop_shared.errors import ConflictError, TaskFailedError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CAN_ATTACH_LATE = sys.version_info >= (3, 12) or sys.platform == "darwin" or platform.machine() == "x86_64"
"""Whether a thread can be traced from another one. Before Python 3.12 debugpy needs a library for it, which it has for these."""
FREE_SECONDS = 2.0  # for which a debugger waits for the one before to go
RELEASE_SECONDS = 30.0  # and when that one has hung up, and is let go of as soon as the script lets other threads work
_END_OF_HEADER = b"\r\n\r\n"  # JSON does not end so
_HIDDEN = str(Path(__file__).parents[1])  # a user has no use for the worker's own frames
# A library to a script, wherever they lie: in an app, or installed editable, they are in no site-packages.
_LIBRARIES = ("edgeloop_task", "edgeloop_shared")


class Debugger:
    """Debugs this process. What it takes is not counted against the script's `limit`. `pauses` are told of."""

    def __init__(self, limit: MemoryLimit, pauses: Pauses) -> None:
        self._limit = limit
        self._pauses = pauses
        self._clients = _Clients()
        self._busy = threading.Lock()
        self._is_free = threading.Condition(self._busy)
        self._has_started = False
        self._client: _Client | None = None

    def start(self) -> None:
        """Make debugpy ready for clients, once; a script that runs already is traced from then on.

        Raises `TaskFailedError` where debugpy cannot be used.
        """
        with self._busy:
            if self._has_started:
                return
            if threading.current_thread() is not threading.main_thread() and not CAN_ATTACH_LATE:
                raise TaskFailedError(
                    "This device's Python cannot begin to debug a script that runs already.",
                    hint="Begin the run with a debugger, or use Python 3.12 or newer on the device.",
                )
            self._limit.grow(DEBUGGER_BYTES)
            try:
                _start(self._clients, self)
            except Exception as error:
                raise TaskFailedError(
                    f"This script cannot be debugged: {type(error).__name__}: {error}",
                    hint="Check debugpy on the device, and that no file of the script has the name of a module.",
                ) from error
            self._has_started = True

    def wait(self, seconds: float) -> bool:
        """Wait until a client has set its breakpoints and lets the script begin; return whether one has in time."""
        import debugpy

        timer = threading.Timer(seconds, lambda: debugpy.wait_for_client.cancel())
        timer.daemon = True
        timer.pydev_do_not_trace = True  # type: ignore[attr-defined]
        timer.start()
        debugpy.wait_for_client()
        timer.cancel()
        return bool(debugpy.is_client_connected())

    def serve(self, connection: socket.socket) -> None:
        """Let the peer of `connection` debug this process, by the Debug Adapter Protocol.

        Raises `ConflictError` while another one does, and `TaskFailedError`.
        """
        self.start()
        with self._busy:
            if not self._becomes_free():
                raise ConflictError(
                    "Another debugger has this script already.", hint="Disconnect that one, then attach again."
                )
            accept(connection)
            self._client = _Client(connection, self._release)
            self._clients.put(self._client)

    def _becomes_free(self) -> bool:
        """Wait for the client before to be let go of; return whether it is. The lock is held."""
        begun = time.monotonic()
        while (client := self._client) is not None:
            patience = RELEASE_SECONDS if client.has_hung_up else FREE_SECONDS
            left = begun + patience - time.monotonic()
            if left <= 0:
                return False
            self._is_free.wait(min(left, FREE_SECONDS))
        return True

    def stop_at(self, error: BaseException) -> None:
        """Stop where an exception was raised that the script does not catch, if a client wants that."""
        if self._client is None:
            return
        import pydevd
        from _pydevd_bundle.pydevd_additional_thread_info import set_additional_thread_info
        from _pydevd_bundle.pydevd_breakpoints import stop_on_unhandled_exception

        thread = threading.current_thread()
        raised = (type(error), error, error.__traceback__)
        stop_on_unhandled_exception(pydevd.get_global_debugger(), thread, set_additional_thread_info(thread), raised)

    def stopping(self) -> Callable[[FrameType], None] | None:
        """Return what stops the calling thread at a frame of its own until the client lets it go; None without a client."""
        return None if self._client is None else self._stop_in

    def _stop_in(self, frame: FrameType) -> None:
        import pydevd
        from _pydevd_bundle.pydevd_additional_thread_info import set_additional_thread_info
        from _pydevd_bundle.pydevd_comm_constants import CMD_SET_FUNCTION_BREAK

        debugged, thread = pydevd.get_global_debugger(), threading.current_thread()
        set_additional_thread_info(thread)
        debugged.set_suspend(thread, CMD_SET_FUNCTION_BREAK)
        debugged.do_wait_suspend(thread, frame, "line", None)

    def _release(self) -> None:
        """The client is gone, with a goodbye or without: nothing may stay paused."""
        import pydevd
        from _pydevd_bundle.pydevd_api import PyDevdAPI

        try:
            debugged = pydevd.get_global_debugger()
            debugged.enable_output_redirection(False, False)
            PyDevdAPI().request_disconnect(debugged, resume_threads=True)
        finally:
            self._pauses.end()
            with self._busy:
                self._client = None
                self._is_free.notify()
        with contextlib.suppress(MemoryError, RuntimeError):  # no room for a stack
            untraced_thread(lambda: self._resume_stragglers(PyDevdAPI()), "edgeloop-stragglers")

    def _resume_stragglers(self, pydevd: Any) -> None:
        """Let threads go on that were on their way into a pause when the breakpoints were removed."""
        for _ in range(10):
            time.sleep(0.1)
            with self._busy:  # or the next client comes in between, and what it has just stopped goes on
                if self._client is not None:
                    return
                pydevd.request_resume_thread("*")

    # What pydevd tells of its messages

    def before_send(self, message: Mapping[str, Any]) -> None:
        """Follow where the script stands, and hang up on the client that is told of the end.

        pydevd would keep the process for half a second until it does.
        """
        self._pauses.follow(message)
        # The thread that writes to a client before says it too when the next one comes, which is not to go for that.
        if message.get("event") == "terminated" and (client := self._client) is not None and _is_written_to(client):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)

    def after_receive(self, _message: Mapping[str, Any]) -> None:
        """Nothing to do."""


class _Clients:
    """What pydevd takes for its listening socket."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Client | None] = queue.SimpleQueue()

    def put(self, client: _Client) -> None:
        self._waiting.put(client)

    def listen(self, _backlog: int) -> None:
        pass

    def accept(self) -> tuple[_Client, None]:
        client = self._waiting.get()
        if client is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return client, None

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 0  # debugpy wants one

    def close(self) -> None:
        self._waiting.put(None)


class _Client(socket.socket):
    """A client's connection. pydevd lets threads stay paused when one goes without a goodbye; this one says it for them."""

    def __init__(self, connection: socket.socket, on_end: Callable[[], None]) -> None:
        super().__init__(fileno=connection.detach())
        self._on_end: Callable[[], None] | None = on_end
        self._header = b""

    @property
    def has_hung_up(self) -> bool:
        """Whether the other end is closed, seen by pydevd or not."""
        if self.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self, select.POLLHUP)
        return bool(poll.poll(0))

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        # pydevd writes a message's header by itself, which would go over every hop to the editor by itself as well.
        piece, self._header = self._header + bytes(data), b""
        if piece.endswith(_END_OF_HEADER):
            self._header = piece
        else:
            super().sendall(piece, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            data = super().recv(size, flags)
        except OSError:
            data = b""
        if not data and self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()
        return data


def _is_written_to(client: socket.socket) -> bool:
    """Return whether this thread is pydevd's that writes to the client."""
    return getattr(threading.current_thread(), "sock", None) is client


def _start(clients: _Clients, listener: Debugger) -> None:
    # It would warn of the standard library's frozen modules, in which nobody sets breakpoints.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    try:
        import debugpy
        import debugpy.server.api  # which makes pydevd importable
        import pydevd
        from _pydevd_bundle.pydevd_api import PyDevdAPI
    finally:
        del os.environ["PYDEVD_DISABLE_FILE_VALIDATION"]
    if not hasattr(pydevd, "create_server_socket"):
        raise RuntimeError(f"debugpy {debugpy.__version__} is not one that edgeloop knows")
    pydevd.create_server_socket = lambda **_: clients
    debugpy.configure(subProcess=False)  # another process of the script is not debugged
    debugpy.listen(("127.0.0.1", 0), in_process_debug_adapter=True)
    hidden = (str(Path(debugpy.__file__).parent), _HIDDEN)
    debug_views.register()
    debugged = pydevd.get_global_debugger()
    debugged.add_dap_messages_listener(listener)
    filtering = debugged._files_filtering
    filtering.set_library_roots([*filtering._get_default_library_roots(), *_library_folders()])
    PyDevdAPI().set_dont_trace_start_end_patterns(debugged, hidden, ("debugpy_launcher.py",))


def _library_folders() -> Iterator[str]:
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield str(Path(spec.origin).parent)
