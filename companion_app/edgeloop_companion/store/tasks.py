"""The tasks of all computers and workspaces: those at work, and the last ones that have ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeloop_companion.events import Event, Forgotten, Unpaired
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.observing import OnSeen, Seen, TakenRun
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.store.images import SafeImage, load_image
from edgeloop_companion.store.observable import Observable, Stop
from edgeloop_companion.store.task import Phase, Task, TaskDetail, TaskFile
from edgeloop_companion.store.task_history import MAX_TASKS, load_tasks, save_tasks
from edgeloop_companion.store.task_record import TaskRecord, new_record
from edgeloop_shared.errors import NotFoundError

SHOW_SECONDS = 0.1  # between two changes that are shown, however much happens
SAVE_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskList:
    """The tasks as they are listed, the newest first."""

    at_work: tuple[Task, ...] = ()
    recent: tuple[Task, ...] = ()


class Tasks:
    """All tasks. `observe` is for a companion; what it is told is shown a moment later, in one change for all that came."""

    def __init__(self, path: Path, blobs: BlobStore, known: Sequence[Task] = ()) -> None:
        self._path = path
        self._blobs = blobs
        self._records = {task.id: TaskRecord(_remembered(task)) for task in reversed(known)}
        self._shown = {task_id: record.task for task_id, record in self._records.items()}
        self._runs: dict[str, TakenRun] = {}
        self._watched: dict[object, tuple[str, Observable[TaskDetail]]] = {}
        self._changed: set[str] = set()
        self._showing: asyncio.TimerHandle | None = None
        self._shown_at = 0.0
        self._unsaved = asyncio.Event()
        self._closing = asyncio.Event()
        self.list = Observable(self._listed())
        """What a screen lists."""

    def observe(self, pairing: Pairing, run: TakenRun) -> OnSeen:
        """Show a run from now on; return what is to be told of it."""
        task_id = f"{pairing.device_id}.{run.command.run_id}"
        known = self._records.pop(task_id, None)  # so that it comes last, as the newest
        record = new_record(pairing, run, time.time(), None if known is None else known.task)
        self._records[task_id], self._runs[task_id] = record, run
        over = [one for one, of in self._records.items() if of.is_over]
        self._drop(over[: max(0, len(self._records) - MAX_TASKS)])
        self._touch(task_id)

        def see(seen: Sequence[Seen]) -> None:
            record.take(seen)
            if self._records.get(task_id) is record:
                if record.is_over:
                    self._runs.pop(task_id, None)
                self._touch(task_id)

        return see

    def listen(self, event: Event) -> None:
        """Forget the tasks of a computer that this device is no longer paired with."""
        if isinstance(event, Forgotten | Unpaired):
            self._drop([one for one in self._records if one.partition(".")[0] == event.device_id])

    def watch(self, task_id: str, watcher: Callable[[TaskDetail], None]) -> Stop:
        """Call `watcher` with a task and its output, now and whenever that is shown anew. Raises `NotFoundError`."""
        record = self._records.get(task_id)
        if record is None:
            raise NotFoundError("This task is not remembered any more.")
        key, detail = object(), Observable(record.detail)
        self._watched[key] = task_id, detail
        detail.watch(watcher)
        return lambda: self._watched.pop(key, None) and None

    async def stop(self, task_id: str) -> None:
        """End a task because this device's user wants that, which its computer is told.

        Raises `NotFoundError` when it has ended.
        """
        run = self._runs.get(task_id)
        if run is None:
            raise NotFoundError("This task has ended.")
        self._records[task_id].stop_asked()
        self._touch(task_id)
        await run.stop()

    async def image(self, file: TaskFile) -> SafeImage:
        """Return an image that a script has reported. Raises `NotFoundError` when it is no longer here, else `EdgeloopError`."""
        try:
            return await asyncio.to_thread(load_image, self._blobs.path(file.sha256))
        except OSError:
            raise NotFoundError(f"The image {file.name} is not on this device any more.") from None

    def clear(self) -> None:
        """Forget the tasks that have ended."""
        self._drop([task_id for task_id, record in self._records.items() if record.is_over])

    async def run(self) -> None:
        """Write what has changed, until `close` and whatever was changed before that."""
        written: list[Task] | None = None
        is_last = False
        while not is_last:
            await self._unsaved.wait()
            self._unsaved.clear()
            is_last = self._closing.is_set()
            tasks = [_kept(record.task) for record in reversed(self._records.values())]
            if tasks != written:
                written = tasks
                await self._write(tasks)
            if not is_last:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_SECONDS):
                        await self._closing.wait()

    def close(self) -> None:
        """Let `run` end."""
        self._closing.set()
        self._unsaved.set()
        if self._showing is not None:
            self._showing.cancel()

    async def _write(self, tasks: Sequence[Task]) -> None:
        try:
            await asyncio.to_thread(save_tasks, self._path, tasks)
        except OSError as error:
            log.warning("the tasks are not kept: %s", error)

    def _touch(self, task_id: str) -> None:
        self._changed.add(task_id)
        self._show_soon()

    def _drop(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self._records.pop(task_id, None)
            self._runs.pop(task_id, None)
            self._shown.pop(task_id, None)
            self._changed.discard(task_id)
        self._show_soon()

    def _show_soon(self) -> None:
        self._unsaved.set()
        if self._showing is None and not self._closing.is_set():
            loop = asyncio.get_running_loop()
            self._showing = loop.call_at(max(loop.time(), self._shown_at + SHOW_SECONDS), self._show)

    def _show(self) -> None:
        self._showing = None
        self._shown_at = asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        for task_id in changed:
            self._shown[task_id] = self._records[task_id].task
        self.list.set(self._listed())
        for task_id, detail in tuple(self._watched.values()):
            if task_id in changed:
                detail.set(self._records[task_id].detail)
        if any(self._records[task_id].has_more for task_id in changed):  # of a table that is sorted now and then
            self._changed |= {task_id for task_id in changed if self._records[task_id].has_more}
            self._show_soon()

    def _listed(self) -> TaskList:
        newest = [self._shown[task_id] for task_id in reversed(self._records) if task_id in self._shown]
        recent = sorted((one for one in newest if one.phase.is_over), key=lambda one: -(one.ended_at or one.taken_at))
        return TaskList(tuple(one for one in newest if not one.phase.is_over), tuple(recent))


@contextlib.asynccontextmanager
async def opened_tasks(path: Path, blobs: BlobStore) -> AsyncIterator[Tasks]:
    """Keep the tasks in the file at `path` for the block; `blobs` has the files that their scripts report."""
    tasks = Tasks(path, blobs, await asyncio.to_thread(load_tasks, path))
    writing = asyncio.create_task(tasks.run(), name="tasks")
    try:
        yield tasks
    finally:
        tasks.close()
        await writing


def _remembered(task: Task) -> Task:
    """Return a task as it is when an app starts: of one that was at work nobody knows yet what has become of it."""
    return task if task.phase.is_over else replace(task, phase=Phase.LOST, is_stopping=False)


def _kept(task: Task) -> Task:
    """Return what is kept of a task: not its output."""
    return task if task.phase.is_over else replace(task, last_line="")
