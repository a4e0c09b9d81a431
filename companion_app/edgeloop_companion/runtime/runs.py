"""All runs of one daemon on this device, and the commands that begin and end them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.link.spool import SpoolDamagedError
from edgeloop_companion.runtime.commands import CommandLog
from edgeloop_companion.runtime.control_socket import connect
from edgeloop_companion.runtime.observing import ObserveRun, OnSeen, Seen, TakenRun
from edgeloop_companion.runtime.run_folder import Canceller, RunFolder
from edgeloop_companion.runtime.storage import write_private
from edgeloop_companion.runtime.tasks import TaskLimits, TaskRun
from edgeloop_companion.runtime.trace_clock import CompareClocks
from edgeloop_companion.runtime.transfers import BlobTransfers
from edgeloop_companion.runtime.workers import Group, Workers
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import ConflictError, EdgeloopError, MessageError, NotFoundError, RateLimitedError
from edgeloop_shared.messages import MAX_MESSAGE_BYTES, CancelTask, CommandResult, RunTask
from edgeloop_shared.models import RunState

MAX_RUNS = 64

STOP_SECONDS = 30.0

OnRunState = Callable[[str, RunState], None]
"""Told the run's id and its new state."""

log = logging.getLogger(__name__)


class Runs:
    """The runs of one daemon, below `folder`. Each is a task of its own, so that one that hangs or crashes touches no other."""

    def __init__(
        self,
        folder: Path,
        outbox: Outbox,
        transfers: BlobTransfers,
        workers: Workers,
        limits: TaskLimits,
        compare_clocks: CompareClocks,
        on_state: OnRunState,
        observe: ObserveRun | None,
    ) -> None:
        self._folder = folder / "runs"
        self._outbox = outbox
        self._transfers = transfers
        self._workers = workers
        self._limits = limits
        self._compare_clocks = compare_clocks
        self._on_state = on_state
        self._observe = observe
        self._commands = CommandLog(folder / "commands.jsonl")
        self._running: dict[str, tuple[TaskRun, asyncio.Task[RunState]]] = {}
        self._removing: set[asyncio.Task[None]] = set()

    @property
    def ids(self) -> tuple[str, ...]:
        """The runs that this device still works on, or whose records the daemon has not stored yet."""
        return tuple(dict.fromkeys((*self._running, *self._outbox.run_ids)))

    @property
    def count(self) -> int:
        """How many runs are not over."""
        return len(self._running)

    def at_work(self) -> tuple[tuple[RunTask, RunState], ...]:
        """Return the runs that are not over, the oldest first: what each was told to do, and where it is."""
        return tuple((run.command, run.state) for run, _ in self._running.values())

    async def stop(self, run_id: str) -> None:
        """End a run because this device's user wants that, and wait for its end. Raises `NotFoundError`."""
        await self._cancel(run_id, "device")
        if run_id in self._running:
            await asyncio.wait({self._running[run_id][1]}, timeout=STOP_SECONDS)

    def oldest(self) -> float:
        """Return when the oldest of those that are not over came here, seconds of the epoch; infinity without any. Blocks."""
        commands = [RunFolder(self._folder / run_id).command for run_id in tuple(self._running)]
        times = []
        for command in commands:
            with contextlib.suppress(FileNotFoundError):  # it is over
                times.append(command.stat().st_mtime)
        return min(times, default=math.inf)

    async def open(self) -> None:
        """Go on with the runs that an earlier companion left."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, exist_ok=True)
        await asyncio.to_thread(self._commands.load)
        for root in sorted(await asyncio.to_thread(lambda: list(self._folder.iterdir()))):
            folder = RunFolder(root)
            try:
                command = await asyncio.to_thread(_read_command, folder)
                await self._take_up(command, folder, is_taken_over=True)
            except (MessageError, SpoolDamagedError, OSError) as error:
                # The daemon is told that this device does not know the run, and ends it with an error.
                log.warning("run %s is given up: %s", root.name, error)
                await self._workers.starter.end(folder)
                await asyncio.to_thread(folder.remove)

    async def answer(self, command: RunTask | CancelTask) -> CommandResult:
        """Begin what `command` asks for, once; a repeated command gets the result of its first time."""
        if isinstance(command, RunTask):
            return await self._commands.once(command.command_id, lambda: self._start(command))
        return await self._commands.once(command.command_id, lambda: self._cancel(command.run_id, "computer"))

    async def connect(self, run_id: str, purpose: str) -> socket.socket:
        """Return a connection to a run's control socket, once its worker serves it, to which `purpose` was said.

        Raises `NotFoundError` for a run that is not here or ends before.
        """
        if run_id not in self._running:
            raise NotFoundError(f"Run {run_id} is not on this device; it may have ended just now.")
        path = await self._running[run_id][0].control_socket()
        connecting = asyncio.create_task(asyncio.to_thread(connect, path, purpose))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close)
            raise

    async def close(self, *, patience: float) -> None:
        """Cancel all runs and wait for their ends, for at most `patience` seconds; what remains, a later companion does."""
        tasks = [task for _, task in self._running.values()]
        for run_id in tuple(self._running):
            with contextlib.suppress(NotFoundError):  # it has ended just now
                await self._cancel(run_id, "app")
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=patience)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until the folders of stored runs are gone."""
        await asyncio.gather(*self._removing)

    async def _start(self, command: RunTask) -> None:
        folder = RunFolder(self._folder / command.run_id)
        if command.run_id in self.ids:
            known = await asyncio.to_thread(_read_command, folder)
            if known == command:  # an earlier companion was killed before it could answer
                return
            raise ConflictError(
                f"Run {command.run_id} is on this device already.", hint="Give each run an id of its own."
            )
        if len(self._running) >= MAX_RUNS:
            raise RateLimitedError(
                f"This device has {MAX_RUNS} runs to do already.", hint="Wait for some to end, or cancel them."
            )
        try:
            await asyncio.to_thread(_write_command, folder, command)
        except OSError as error:
            await asyncio.to_thread(folder.remove)
            raise EdgeloopError(
                f"The device cannot take a run: {error.strerror}.", hint="Free some space on the device and run again."
            ) from error
        await self._take_up(command, folder, is_taken_over=False)

    async def _take_up(self, command: RunTask, folder: RunFolder, *, is_taken_over: bool) -> None:
        run_id = command.run_id
        records = await self._outbox.open_run(run_id, folder.root, lambda: self._remove(folder))
        if records.state.is_closed:
            await asyncio.to_thread(folder.remove_work)
            records.tidy()
            return
        run = TaskRun(
            command,
            folder,
            records,
            self._outbox,
            self._transfers,
            self._workers,
            Group(str(self._folder), command.workspace),
            self._limits,
            self._compare_clocks,
            lambda state: self._on_state(run_id, state),
            self._observer(command, is_taken_over=is_taken_over),
        )
        canceller, has_begun = await asyncio.to_thread(lambda: (folder.cancelled(), folder.has_begun))
        if canceller is not None and not has_begun:
            run.cancel(canceller)
        task = asyncio.create_task(run.run(), name=f"run {run_id}")
        self._running[run_id] = (run, task)
        task.add_done_callback(lambda _: self._running.pop(run_id, None))

    def _observer(self, command: RunTask, *, is_taken_over: bool) -> OnSeen | None:
        """Return what is to be told of a run, if anybody looks on; whatever they do must not harm it."""
        if self._observe is None:
            return None

        async def stop() -> None:
            await self._cancel(command.run_id, "device")

        look_on = self._observe(TakenRun(command, is_taken_over, stop))

        def see(seen: Sequence[Seen]) -> None:
            try:
                look_on(seen)
            except Exception:
                log.exception("who looks at run %s", command.run_id)

        return see

    async def _cancel(self, run_id: str, canceller: Canceller) -> None:
        if run_id not in self._running:
            raise NotFoundError(f"Run {run_id} is not on this device; it may have ended just now.")
        run, _ = self._running[run_id]
        await asyncio.to_thread(RunFolder(self._folder / run_id).mark_cancelled, canceller)
        run.cancel(canceller)

    def _remove(self, folder: RunFolder) -> None:
        removing = asyncio.create_task(asyncio.to_thread(folder.remove))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)


def _close(connecting: asyncio.Task[socket.socket]) -> None:
    if connecting.exception() is None:
        connecting.result().close()


def _read_command(folder: RunFolder) -> RunTask:
    return decode_json(RunTask, folder.command.read_bytes(), max_bytes=MAX_MESSAGE_BYTES)


def _write_command(folder: RunFolder, command: RunTask) -> None:
    folder.root.mkdir(mode=0o700, exist_ok=True)
    write_private(folder.command, encode_json(command))
