"""Workers: one per running task, each beside a guardian that outlives the companion, and the queue for them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared.process_lock import is_held, signal_holder
from edgeloop_shared.run_events import TaskWaiting

OnWaiting = Callable[[TaskWaiting], None]
"""Told where a run stands in the queue."""


@dataclass(frozen=True)
class Group:
    """Whose runs take turns with those of others: one workspace of one computer."""

    computer: str
    workspace: str


class WorkerStarter(Protocol):
    """Starts workers; an Android service can stand here, where no process may be started from Python.

    A worker is known by its run's folder alone: it holds the lock, writes the journal and says how it ended, also when
    another companion started it.
    """

    async def start(self, folder: RunFolder) -> None:
        """Start a worker for the order in `folder`, unless one has begun there; return once it holds the lock.

        Raises `OSError` when the system has no room for one.
        """

    async def is_alive(self, folder: RunFolder) -> bool:
        """Return whether a worker is at work in `folder`."""

    async def end(self, folder: RunFolder) -> None:
        """Ask the worker in `folder` to stop; it is killed soon after."""


class ProcessStarter:
    """Workers as processes of their own: Linux and macOS."""

    async def start(self, folder: RunFolder) -> None:
        """Start `python -m edgeloop_companion.runtime.guardian`."""
        # Shielded: a guardian that is half started must not be left to itself.
        await asyncio.shield(asyncio.create_task(asyncio.to_thread(_start, folder)))

    async def is_alive(self, folder: RunFolder) -> bool:
        """Return whether the lock is held."""
        return await asyncio.to_thread(is_held, folder.lock)

    async def end(self, folder: RunFolder) -> None:
        """Send SIGTERM to the guardian."""
        await asyncio.to_thread(signal_holder, folder.lock, signal.SIGTERM)


class _Waiting:
    def __init__(self, on_waiting: OnWaiting) -> None:
        self.on_waiting = on_waiting
        self.told: TaskWaiting | None = None
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Workers:
    """The places for workers of this device, at most `limit` at a time.

    Who comes later waits. The groups take turns, so that one with many runs holds up nobody else's one; within a group the
    first comes first.
    """

    def __init__(self, starter: WorkerStarter, *, limit: int = 8) -> None:
        self.starter = starter
        self._limit = limit
        self._taken: Counter[str] = Counter()  # by computer
        self._groups: OrderedDict[Group, deque[_Waiting]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def place(self, group: Group, on_waiting: OnWaiting) -> AsyncIterator[None]:
        """Hold one of the places; while there is none, `on_waiting` is called with each change of the queue before it."""
        if self._taken.total() >= self._limit or self._groups:
            await self._wait(group, on_waiting)
        else:
            self._taken[group.computer] += 1
        try:
            yield
        finally:
            self._release(group)

    @contextlib.asynccontextmanager
    async def place_of_running(self, group: Group) -> AsyncIterator[None]:
        """Hold a place for a worker that runs already, even beyond the limit."""
        self._taken[group.computer] += 1
        try:
            yield
        finally:
            self._release(group)

    async def _wait(self, group: Group, on_waiting: OnWaiting) -> None:
        waiting = _Waiting(on_waiting)
        self._groups.setdefault(group, deque()).append(waiting)
        self._tell()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._release(group)
            else:
                self._groups[group].remove(waiting)
                if not self._groups[group]:
                    del self._groups[group]
                self._tell()
            raise

    def _release(self, freed: Group) -> None:
        self._taken[freed.computer] -= 1
        while self._groups and self._taken.total() < self._limit:
            group, queue = self._groups.popitem(last=False)
            first = queue.popleft()
            if queue:
                self._groups[group] = queue  # behind the others
            self._taken[group.computer] += 1
            first.turn.set_result(None)
        self._tell()

    def _tell(self) -> None:
        """Say to everybody who waits where they stand now."""
        queues = [(group, list(queue)) for group, queue in self._groups.items()]
        running, before = self._taken.total(), Counter[str]()
        for turn in range(max((len(queue) for _, queue in queues), default=0)):
            for group, queue in queues:
                if turn < len(queue):
                    computer, place = group.computer, before.total()
                    here = TaskWaiting(place, place - before[computer], running, running - self._taken[computer])
                    if queue[turn].told != here:
                        queue[turn].told = here
                        queue[turn].on_waiting(here)
                    before[computer] += 1


def _start(folder: RunFolder) -> None:
    # -P: a file of the task must not stand in for a module that the worker itself needs
    command = [sys.executable, "-P", "-m", "edgeloop_companion.runtime.guardian", str(folder.root)]
    with Path(folder.root / "guardian.log").open("ab") as errors:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            check=False,
        )
    if done.returncode and not folder.has_begun:
        words = (folder.root / "guardian.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise OSError(f"its worker did not start: {words[0] if words else f'exit status {done.returncode}'}")
