"""The local training backend: a command in the environment of edgeloop, under a guardian process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeloop import JobContext, TrainingRun, TrainingState, TrainingStatus
from edgeloop_plugins.training_local import guardian
from edgeloop_plugins.training_local.artifacts import copy_artifacts
from edgeloop_plugins.training_local.lines import LineSplitter
from edgeloop_plugins.training_local.plugin import LocalParameters
from edgeloop_shared import process_lock
from edgeloop_shared.bounded_log import BoundedLog, LogPipe
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import InvalidInputError, JobFailedError, MessageError

POLL_SECONDS = 0.02
LOG_BYTES = 256 * 1024**2
"""Of a run's output; lines beyond it are left out, and so are the metrics in them. The last ones always come."""


@dataclass(frozen=True)
class _Ended:
    """What the guardian wrote when the command had ended."""

    exit_code: int | None = None
    stopped: bool = False
    error: str = ""


class LocalTraining:
    """Training on this computer. A run's reference is its folder, which holds the log, the output and how it ended.

    A run lives as long as the process that submitted it. Another process may look at it, stop it and fetch what it wrote.
    """

    def __init__(self, parameters: LocalParameters, context: JobContext) -> None:
        del parameters
        self._context = context
        self._guardians: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, LogPipe] = {}
        self._lifelines: dict[str, int] = {}  # the kernel closes them with this process, however it ends

    def submit(self, run: TrainingRun) -> str:
        """Start the run's command in its folder and return the run's reference.

        `python` is the Python that edgeloop runs with, and programs beside it are found first. Raises `InvalidInputError`
        when the command does not exist.
        """
        folder = self._context.folder.absolute() / "training"
        output = folder / "output"
        output.mkdir(parents=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **run.environment,
            "EDGELOOP_OUTPUT": str(output),
            "PATH": path,
        }
        command = [_program(run, path), *run.command[1:]]
        if any("\0" in argument for argument in command):
            raise InvalidInputError("The training command holds a NUL character.", hint="Check it in edgeloop.toml.")
        self._guardians[str(folder)] = self._start(command, run.folder, environment, folder)
        return str(folder)

    def status(self, reference: str) -> TrainingStatus:
        """Return the present state."""
        folder = Path(reference)
        if process_lock.is_held(folder / "lock"):
            return TrainingStatus(TrainingState.RUNNING)
        self._reap(reference)
        try:
            ended = decode_json(_Ended, (folder / "ended.json").read_bytes(), max_bytes=64 * 1024)
        except (FileNotFoundError, MessageError):
            return TrainingStatus(TrainingState.FAILED, "was lost: the process that watched over it was killed")
        if ended.error:
            return TrainingStatus(TrainingState.FAILED, f"could not be started: {ended.error}")
        if ended.stopped:
            return TrainingStatus(TrainingState.STOPPED, "was stopped", ended.exit_code)
        if ended.exit_code == 0:
            return TrainingStatus(TrainingState.SUCCEEDED, "", 0)
        return TrainingStatus(TrainingState.FAILED, _end_in_words(ended.exit_code), ended.exit_code)

    def follow_logs(self, reference: str) -> Iterator[str]:
        """Yield the lines of output and errors as they are written, until the run ends."""
        folder = Path(reference)
        lines = LineSplitter()
        with (folder / "log.txt").open("rb") as log:
            running = True
            while running:
                running = process_lock.is_held(folder / "lock")  # asked before reading, so that nothing is missed
                if not running and (pipe := self._logs.pop(reference, None)) is not None:
                    pipe.finish()
                while data := log.read(1 << 16):
                    yield from lines.feed(data)
                if running:
                    time.sleep(POLL_SECONDS)
        yield from lines.finish()
        self._reap(reference)

    def stop(self, reference: str) -> None:
        """Stop the run with all that it started: SIGTERM, and SIGKILL a few seconds later.

        Raises `JobFailedError` when it does not end even so.
        """
        lock = Path(reference) / "lock"
        if not self._release(reference):
            process_lock.signal_holder(lock)
        end = time.monotonic() + guardian.GRACE + 5
        while process_lock.is_held(lock):
            if time.monotonic() > end:
                raise JobFailedError(f"The training in {reference} cannot be stopped.", hint="Does it wait for a disk?")
            time.sleep(POLL_SECONDS)
        self._reap(reference)

    def fetch_artifacts(self, reference: str, folder: Path) -> None:
        """Copy what the run wrote to `EDGELOOP_OUTPUT` into `folder`."""
        copy_artifacts(Path(reference) / "output", folder)

    def _start(
        self, command: list[str], working: Path, environment: dict[str, str], folder: Path
    ) -> subprocess.Popen[bytes]:
        lifeline, own_end = os.pipe()
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The lock belongs to the open file, which the guardian inherits: it is held as long as the guardian lives.
            fcntl.flock(lock, fcntl.LOCK_EX)
            pipe = LogPipe(BoundedLog(folder / "log.txt", limit=LOG_BYTES))
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(lifeline), str(folder), *command],
                cwd=working,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=pipe.writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lifeline, lock),
            )
            pipe.start()
            os.pwrite(lock, str(process.pid).encode(), 0)
        except BaseException:
            os.close(own_end)
            raise
        finally:
            os.close(lifeline)
            os.close(lock)
        self._lifelines[str(folder)] = own_end
        self._logs[str(folder)] = pipe
        return process

    def _reap(self, reference: str) -> None:
        process = self._guardians.pop(reference, None)
        if process is not None:
            # Until it is reaped its id, which is its group's too, cannot belong to anybody else. The group still has members
            # only when the guardian itself was killed.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._release(reference)

    def _release(self, reference: str) -> bool:
        lifeline = self._lifelines.pop(reference, None)
        if lifeline is not None:
            os.close(lifeline)
        return lifeline is not None


def _program(run: TrainingRun, path: str) -> str:
    name = run.command[0] if run.command else ""
    if name in ("python", "python3"):
        return sys.executable  # which need not be found under this name: some systems have a `python3` only
    found = shutil.which(str(run.folder / name) if "/" in name else name, path=path) if name else None
    if found is None:
        raise InvalidInputError(
            f"The training command starts {name!r}, which is no program on this computer.",
            hint="Check `command` in edgeloop.toml; a program of the project needs its path, such as ./train.sh, "
            "and must be executable.",
        )
    return found


def _end_in_words(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "without a name"
    memory = " (memory may have run out)" if exit_code == -signal.SIGKILL else ""
    return f"was ended by signal {-exit_code}, {name}{memory}"
