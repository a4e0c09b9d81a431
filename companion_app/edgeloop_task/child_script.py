"""A user's script in a process of its own, for tools that go on when it has ended."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeloop_shared.errors import TaskFailedError

_NO_MEMORY = 117  # the status of a process that ended by a `MemoryError`


@contextmanager
def ran_in_child(script: str, action: Callable[[Path], None]) -> Iterator[Path]:
    """Run `action` in a process of its own and yield the folder, of the block's life, in which it has left what it found.

    Its threads and memory, and a crash, stay there. MNN must not be loaded yet, since the process is forked, as the device's own
    guardian does it. Raises `TaskFailedError` that names `script` if it fails, and
    `MemoryError` if that is why.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child = os.fork()
        if child == 0:
            _end_with(action, folder)
        _, ended = os.waitpid(child, 0)
        if ended != 0:
            code = os.waitstatus_to_exitcode(ended)
            if code == _NO_MEMORY:  # as if it had happened in this process, whose limit it was
                raise MemoryError(f"{script} got no more memory")
            raise TaskFailedError(
                f"{script} failed: {f'signal {-code}' if code < 0 else f'exit code {code}'}.",
                hint=f"The run's log shows why. `edgeloop run {script}` runs it by itself.",
            )
        yield folder


def run_script(script: str, arguments: Sequence[str]) -> None:
    """Run a script as `python SCRIPT ARGUMENTS` would. Raises what it raises, `SystemExit` only if it means a failure."""
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise


def _end_with(action: Callable[[Path], None], folder: Path) -> None:
    """Do `action` as the last thing of this process."""
    status = 1
    try:
        action(folder)
        status = 0
    except BaseException as error:
        status = _NO_MEMORY if isinstance(error, MemoryError) else 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
