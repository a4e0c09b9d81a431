"""A user's script in a process of its own, for tools that go on when it has ended."""

from __future__ import annotations

import os
import pickle
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from edgeloop_shared.errors import TaskFailedError

T = TypeVar("T")


def run_in_child(script: str, action: Callable[[], T]) -> T:
    """Return what `action` returns in a process of its own: its threads and memory, and a crash, stay there.

    MNN must not be loaded yet, since the process is forked, as the device's own guardian does it. Raises `TaskFailedError` that
    names `script` if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        child = os.fork()
        if child == 0:
            _answer(action, answer)
        _, ended = os.waitpid(child, 0)
        if ended != 0:
            code = os.waitstatus_to_exitcode(ended)
            raise TaskFailedError(
                f"{script} failed: {f'signal {-code}' if code < 0 else f'exit code {code}'}.",
                hint=f"The run's log shows why. `edgeloop run {script}` runs it by itself.",
            )
        found: T = pickle.loads(answer.read_bytes())  # noqa: S301 - our own child's
        return found


def run_script(script: str, arguments: Sequence[str]) -> None:
    """Run a script as `python SCRIPT ARGUMENTS` would. Raises what it raises, `SystemExit` only if it means a failure."""
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise


def _answer(action: Callable[[], object], answer: Path) -> None:
    """Write what `action` returns, and end this process."""
    status = 1
    try:
        answer.write_bytes(pickle.dumps(action()))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
