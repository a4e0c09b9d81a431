"""All runs of one daemon on this device, and the commands that begin and end them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.runtime.commands import CommandLog
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.tasks import BlobTransfers, TaskRun
from edgeloop_companion.runtime.workers import Workers
from edgeloop_shared.errors import ConflictError, NotFoundError, RateLimitedError
from edgeloop_shared.messages import CancelTask, CommandResult, RunTask
from edgeloop_shared.models import RunState

MAX_RUNS = 64

OnRunState = Callable[[str, RunState], None]
"""Told the run's id and its new state."""


class Runs:
    """The runs of one daemon. Each is a task of its own, so that one that hangs or crashes touches no other."""

    def __init__(
        self,
        outbox: Outbox,
        transfers: BlobTransfers,
        state_folder: StateFolder,
        workers: Workers,
        on_state: OnRunState,
    ) -> None:
        self._outbox = outbox
        self._transfers = transfers
        self._state_folder = state_folder
        self._workers = workers
        self._on_state = on_state
        self._commands = CommandLog()
        self._running: dict[str, tuple[TaskRun, asyncio.Task[RunState]]] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The runs that this device still works on, or whose records the daemon has not stored yet."""
        return tuple(dict.fromkeys((*self._running, *self._outbox.run_ids)))

    def answer(self, command: RunTask | CancelTask) -> CommandResult:
        """Begin what `command` asks for, once; a repeated command gets the result of its first time."""
        if isinstance(command, RunTask):
            return self._commands.once(command.command_id, lambda: self._start(command))
        return self._commands.once(command.command_id, lambda: self._cancel(command.run_id))

    async def close(self, *, patience: float) -> None:
        """Cancel all runs and wait for their ends, for at most `patience` seconds."""
        tasks = [task for _, task in self._running.values()]
        for run, _ in self._running.values():
            run.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=patience)
            for task in stuck:  # the outbox is full and nobody takes its records
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, command: RunTask) -> None:
        if command.run_id in self.ids:
            raise ConflictError(
                f"Run {command.run_id} is on this device already.", hint="Give each run an id of its own."
            )
        if len(self._running) >= MAX_RUNS:
            raise RateLimitedError(
                f"This device has {MAX_RUNS} runs to do already.", hint="Wait for some to end, or cancel them."
            )
        run = TaskRun(
            command,
            self._outbox,
            self._transfers,
            self._state_folder,
            self._workers,
            lambda state: self._on_state(command.run_id, state),
        )
        task = asyncio.create_task(run.run(), name=f"run {command.run_id}")
        self._running[command.run_id] = (run, task)
        task.add_done_callback(lambda _: self._running.pop(command.run_id, None))

    def _cancel(self, run_id: str) -> None:
        if run_id not in self._running:
            raise NotFoundError(f"Run {run_id} is not on this device; it may have ended just now.")
        self._running[run_id][0].cancel()
