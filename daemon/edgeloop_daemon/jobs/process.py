"""The job process: `python -m edgeloop_daemon.jobs.process FOLDER`, started by the supervisor as the leader of a process group."""

from __future__ import annotations

import ctypes
import io
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from edgeloop.handlers import load_handler
from edgeloop.results import encode_result
from edgeloop_daemon.jobs.context import ProcessContext
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec
from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared import process_lock
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import EdgeloopError, JobFailedError

_SET_PARENT_DEATH_SIGNAL = 1
_LINE_BUFFERED = 1
_MAX_ERROR_BYTES = 1024 * 1024


class Terminated(SystemExit):
    """SIGTERM has arrived. Not an `Exception`, so that handlers' `finally` blocks run and nothing else catches it."""


def run_handler(spec: JobSpec, context: ProcessContext) -> bytes:
    """Run the handler that `spec` names and return its result as JSON text.

    Raises whatever the handler raises, and `PluginError` or `TooLargeError` for a result that cannot be kept.
    """
    handler = load_handler(spec.handler)
    parameters: Any = decode(load_handler(spec.parameters_type), spec.parameters)
    return encode_result(handler(parameters, context), load_handler(spec.result_type), spec.handler)


def _outcome(spec: JobSpec, context: ProcessContext) -> bytes:
    try:
        os.chdir(spec.workspace)
        return b'{"result":' + run_handler(spec, context) + b"}"
    except Terminated:
        raise
    except EdgeloopError as error:
        context.log(f"Error: {error}")
        return _error_text(error)
    except OSError as error:
        if error.filename == spec.workspace:
            return _error_text(JobFailedError(f"The workspace {spec.workspace} cannot be entered: {error.strerror}."))
        return _unexpected(spec, error)
    except (Exception, SystemExit) as error:
        return _unexpected(spec, error)


def _unexpected(spec: JobSpec, error: BaseException) -> bytes:
    traceback.print_exc()
    lines = "".join(traceback.format_exception(error))
    return _error_text(
        JobFailedError(
            f"{spec.name} raised {type(error).__name__}: {error}",
            hint="This looks like a bug in the plugin; its log holds the traceback.",
            details={"traceback": lines, "handler": spec.handler},
        )
    )


def _error_text(error: EdgeloopError) -> bytes:
    short = type(error)(error.message[:10_000], hint=error.hint[:10_000])
    try:
        text = json.dumps({"error": error.as_dict()}, default=str, ensure_ascii=False, allow_nan=False)
    except ValueError:  # details that are no JSON must not hide the message
        text = json.dumps({"error": short.as_dict()}, ensure_ascii=False)
    if len(text) > _MAX_ERROR_BYTES:
        text = json.dumps({"error": short.as_dict()}, ensure_ascii=False)
    return text.encode(errors="replace")


def _stay_with_supervisor(folder: JobFolder) -> None:
    """See to it that the job neither begins nor goes on without a living supervisor, and that SIGTERM cleans up."""
    supervisor = os.getppid()

    def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
        if os.getppid() != supervisor:
            os.killpg(0, signal.SIGKILL)  # nobody is left to do it
        raise Terminated(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGTERM))
    # It may have died before; then its lock is free or names somebody else.
    if folder.lock.read_text() != str(os.getppid()):
        sys.exit("The job's supervisor has died.")


def _flush_every_line() -> None:
    """Let Python's and C's output reach the log line by line: what a crash swallows is what explains it."""
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    library = ctypes.CDLL(None)
    stdout = ctypes.c_void_p.in_dll(library, "__stdoutp" if sys.platform == "darwin" else "stdout")
    library.setvbuf(stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))


def main() -> None:
    """Run the job in the folder that the first argument names, and leave its outcome there."""
    folder = JobFolder(Path(sys.argv[1]))
    with process_lock.held(folder.group) as is_mine:
        if not is_mine:
            sys.exit("The job runs already.")
        _stay_with_supervisor(folder)
        _flush_every_line()
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
        spec = folder.spec()
        write_atomically(folder.outcome, _outcome(spec, ProcessContext(folder, spec)))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        # The outcome is on disk. Native libraries that crash while the interpreter is torn down, and threads that a handler
        # has left running, must not matter any more.
        os._exit(0)


if __name__ == "__main__":
    main()
