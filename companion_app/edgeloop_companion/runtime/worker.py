"""The worker: a process that runs one script and says how it went. Its guardian forks it, see `runtime.guardian`.

Its own words are lines of JSON on a pipe: `{"event": "started"}`, `{"event": "note", "text": ...}` for the run's log,
`{"event": "paused", "file": ..., "line": ...}` and `{"event": "resumed"}` of a debugger, and
`{"event": "failed", "error": {...}}`. What others want of it while the script runs comes through its control socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgeloop_companion.runtime.control_socket import ControlSocket, untraced_thread
from edgeloop_companion.runtime.debugger import Debugger
from edgeloop_companion.runtime.failures import describe_exit, describe_failure
from edgeloop_companion.runtime.memory import MemoryLimit
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.pauses import Pauses
from edgeloop_companion.runtime.reported_files import SnapshotReporter
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared import debugger_notes
from edgeloop_shared.errors import EdgeloopError, TaskFailedError
from edgeloop_task import reporting, tracing

if TYPE_CHECKING:
    from edgeloop_companion.runtime.operator_control import OperatorControl

_LINE_BUFFERED = 1  # _IOLBF of stdio.h on Linux and macOS


def run(order: Order, folder: RunFolder, lifeline: int, reports: int, words: int) -> int:
    """Run the ordered script in this process; return the exit code. The arguments behind `folder` are descriptors.

    Nothing comes on `lifeline`; its end says that the guardian is gone.
    """
    os.chdir(folder.files)
    _read_nothing()
    _end_with(lifeline)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Lines appear as they are printed, as on a terminal.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    _print_native_lines_at_once()
    # A native crash names the script's line, also while standard error is being captured: hence a descriptor of its own.
    faulthandler.enable(os.dup(2), all_threads=False)
    limit = MemoryLimit(order.memory_bytes)
    status, saying = os.fdopen(words, "w", encoding="utf-8", buffering=1), threading.Lock()

    def say(**word: object) -> None:
        with saying:
            status.write(json.dumps(word) + "\n")

    debugger = Debugger(limit, Pauses(folder.files, say))
    # Open until the process ends: threads and exit handlers of the script may still report.
    reporting.use(SnapshotReporter(os.fdopen(reports, "wb"), folder.reported, debugger.stopping))
    if order.trace:
        tracing.enable()
    operators = _Operators(folder)
    try:
        purposes = {"debugger": debugger.serve, "control": operators.serve}
        ControlSocket(folder.control, purposes, limit).start()
    except OSError as error:
        say(event="note", text=f"The script cannot be debugged: its folder takes no socket ({error.strerror}).")
    say(event="started")
    try:
        operators.begin()
        _make_ready(debugger, order, lambda text: say(event="note", text=text))
        failure = run_script(order, limit, Path.cwd(), debugger.stop_at)
    except TaskFailedError as error:
        failure = error
    if failure is not None:
        say(event="failed", error=failure.as_dict())
    return 0 if failure is None else 1


def run_script(
    order: Order, limit: MemoryLimit, folder: Path, on_uncaught: Callable[[BaseException], None]
) -> TaskFailedError | None:
    """Run the script as `python <script> <arguments>` would; return what went wrong in it.

    `on_uncaught` gets what it does not catch: for a debugger that is nobody's exception only here.
    """
    script = folder / order.script
    sys.argv = [order.script, *order.arguments]
    sys.path.insert(0, str(script.parent))
    try:
        with limit:
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as stop:
        return describe_exit(stop, folder)
    except BaseException as error:
        on_uncaught(error)
        failure = limit.explain(error, describe_failure(error, folder))
        sys.stderr.write(failure.details["traceback"])
        return failure
    return None


def _make_ready(debugger: Debugger, order: Order, note: Callable[[str], None]) -> None:
    """Start a debugger, and wait for its client, as ordered. Raises `TaskFailedError` when none comes."""
    if order.debug is None:
        return
    debugger.start()
    if order.debug == "wait":
        note(debugger_notes.waits(order.wait_seconds))
        if not debugger.wait(order.wait_seconds):
            raise TaskFailedError(
                f"No debugger attached within {order.wait_seconds:g} s.",
                hint="Attach sooner, or start the run without waiting for one.",
            )
        note(debugger_notes.ATTACHED)


class _Operators:
    """Breakpoints on operators from outside. What they need (numpy) is loaded for the first one: a script may do without."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: OperatorControl | None = None

    def begin(self) -> None:
        """Turn on those that the run was given. Raises `TaskFailedError` for what is wrong with them."""
        if self._folder.breakpoints.is_file():
            try:
                self._control().begin()
            except EdgeloopError as error:
                words = f"The breakpoints on operators cannot be used: {error.message}"
                raise TaskFailedError(words, hint=error.hint) from None

    def serve(self, connection: socket.socket) -> None:
        """Do what is asked of them on a connection."""
        self._control().serve(connection)

    def _control(self) -> OperatorControl:
        with self._lock:
            if self._loaded is None:
                from edgeloop_companion.runtime.operator_control import OperatorControl

                self._loaded = OperatorControl(self._folder)
            return self._loaded


def _print_native_lines_at_once() -> None:
    """Let C's standard output be buffered by the line: what MNN printed just before a crash must not be lost."""
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        library = ctypes.CDLL(None)
        library.setvbuf(ctypes.c_void_p.in_dll(library, name), None, _LINE_BUFFERED, 0)


def _read_nothing() -> None:
    """Give the script an empty standard input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _end_with(lifeline: int) -> None:
    """End this process group when the guardian goes away."""

    def wait() -> None:
        while os.read(lifeline, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    untraced_thread(wait, "edgeloop-lifeline")
