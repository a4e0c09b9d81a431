"""A trial: a declaration module is imported and asked in a process of its own, before anything else imports it.

Whatever it does there (crash, hang, print, start processes) ends with that process, and is told. Run as a module, this file is
that process: `python -m edgeloop.trial REQUEST DESCRIPTOR`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO, Any

from edgeloop.declared import read_declarations
from edgeloop.hookspecs import PROJECT
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.signals import signal_name

SECONDS = 10.0
SLOW_SECONDS = 1.0  # of processor time
# fmt: off
HEAVY = frozenset({
    "MNN", "_tools", "cv2", "edgeloop_task", "git", "jax", "matplotlib", "numpy", "onnx", "onnxruntime", "paddle", "pandas", "ray",
    "scipy", "sklearn", "tensorflow", "torch", "transformers",
})
# fmt: on
_KEPT_OUTPUT = 4096
_RECORD_BYTES = 64 * 1024  # what a pipe holds, so that the process never waits for a reader
_MAX_FILES_BYTES = 48 * 1024  # of the record; a module that is light imports no more files than fit
_MAX_ERROR = 2000


FileStamp = tuple[str, int, int]
"""A path, the size of what is there in bytes, and when that changed last, in nanoseconds; (path, -1, -1) where nothing is."""


@dataclass(frozen=True)
class Trial:
    """How a trial went. `error` says why the plugin cannot be loaded; it is empty for one that can.

    `remarks` are sentences on what a declaration module should not do. `output` is the beginning of what it printed. `files` are
    the stamps of the files that were imported; None when they are too many to tell.
    """

    error: str
    remarks: tuple[str, ...]
    output: str
    files: tuple[FileStamp, ...] | None


def try_plugin(entry: EntryPoint, *, seconds: float = SECONDS) -> Trial:
    """Import the declaration module of `entry` and ask its hooks, in a process that is ended after `seconds`."""
    reading, writing = os.pipe()
    request = json.dumps({"name": entry.name, "value": entry.value, "path": sys.path})
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-m", __spec__.name, request, str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        output = _Output(process)
        error = _ending(process, entry, seconds)
        has_left_processes = _end_group(process.pid)
        text, size = output.end()
        os.set_blocking(reading, False)
        record = {} if error else _record(reading)
    finally:
        os.close(reading)
    remarks = [str(remark) for remark in record.get("remarks", ())]
    if has_left_processes:
        remarks.append("It starts a process while it is imported.")
    if size and not error:
        remarks.append(f"It prints {size} bytes while it is imported.")
    files = None if record.get("files") is None else tuple((path, size, time) for path, size, time in record["files"])
    return Trial(
        error or str(record.get("error", "It ended the process that imported it.")), tuple(remarks), text, files
    )


def file_stamp(path: str) -> FileStamp:
    """Return the stamp of a file or folder, which tells whether it has changed."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


def failure_text(error: BaseException) -> str:
    """Return one paragraph on why a plugin could not be loaded, with the line of its code where that helps."""
    if isinstance(error, EdgeloopError):
        return str(error)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_plugins(frame.filename)]
    where = (
        f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    )
    return f"{text[:_MAX_ERROR]}{where}"


class _Output:
    """The beginning of what a process prints, and how much that was."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._kept = b""
        self._size = 0
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def end(self) -> tuple[str, int]:
        """Return the text and the size of it all; a process that left the group and lives on is not waited for."""
        self._thread.join(1.0)
        return self._kept.decode(errors="replace"), self._size

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while piece := os.read(stream.fileno(), 65536):
                self._kept += piece[: _KEPT_OUTPUT - len(self._kept)]
                self._size += len(piece)


def _ending(process: subprocess.Popen[bytes], entry: EntryPoint, seconds: float) -> str:
    """Wait for the end; return what was wrong with it, or nothing."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return (
            f"Importing {entry.module} did not end within {seconds:g} s. A declaration module only declares: do the work in "
            "the handlers."
        )
    if status < 0:
        return (
            f"Importing {entry.module} crashed natively ({signal_name(-status)}). The daemon's log holds where; import "
            "native libraries in the handlers only."
        )
    return ""


def _end_group(group: int) -> bool:
    """End what the process has left running; return whether there was anything."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
        return True
    return False


def _record(descriptor: int) -> dict[str, Any]:
    try:
        record = json.loads(os.read(descriptor, _RECORD_BYTES))
    except (BlockingIOError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_plugins(filename: str) -> bool:
    """Return whether a frame is neither Python's import machinery nor what calls the plugin."""
    return (
        not {"edgeloop", "edgeloop_daemon", "importlib", "pluggy"} & set(Path(filename).parts) and filename[:1] != "<"
    )


def _imported_files(modules: Iterable[str]) -> list[FileStamp] | None:
    paths = {getattr(sys.modules[name], "__file__", None) for name in modules}
    files = [file_stamp(path) for path in sorted(path for path in paths if isinstance(path, str))]
    return files if len(json.dumps(files)) <= _MAX_FILES_BYTES else None


def _main(arguments: Sequence[str]) -> None:
    request, descriptor = json.loads(arguments[0]), int(arguments[1])
    sys.path[:] = request["path"]  # a plugin is found here where it is found there
    before, begun = set(sys.modules), time.process_time()
    error, remarks = "", []
    try:
        read_declarations(EntryPoint(request["name"], request["value"], PROJECT).load(), request["name"])
    except BaseException as failure:
        error = failure_text(failure)
    seconds = time.process_time() - begun
    heavy = HEAVY & (set(sys.modules) - before)
    if heavy:
        remarks.append(f"It imports {', '.join(sorted(heavy))}: import that in the handlers' modules only.")
    if seconds > SLOW_SECONDS:
        remarks.append(f"It takes {seconds:.1f} s of processor time to import.")
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if threads:
        remarks.append(f"It starts the thread {threads[0]!r} while it is imported.")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    record = {"error": error, "remarks": remarks, "files": _imported_files(set(sys.modules) - before)}
    os.write(descriptor, json.dumps(record)[:_RECORD_BYTES].encode())
    os._exit(0)  # threads that it has left must not keep the process


if __name__ == "__main__":
    _main(sys.argv[1:])
