"""One task run, from the command to its last record, by one companion or by several in turn."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeloop_companion.link.outbox import Outbox, RunRecords
from edgeloop_companion.runtime.bundles import fetch_bundle, lay_out
from edgeloop_companion.runtime.crashes import describe_end
from edgeloop_companion.runtime.journal import Entry, JournalReader
from edgeloop_companion.runtime.observing import OnSeen, Seen
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.run_folder import Canceller, RunFolder, WorkerEnd, remove_tree
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.runtime.trace_clock import CompareClocks, TraceClock
from edgeloop_companion.runtime.transfers import BlobTransfers
from edgeloop_companion.runtime.wake import Wake
from edgeloop_companion.runtime.worker_records import SOURCES, WorkerRecords
from edgeloop_companion.runtime.workers import Group, Workers
from edgeloop_shared.bundles import BundleManifest
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import CancelledByUserError, EdgeloopError, NotFoundError, error_from_dict
from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.operator_control import SetBreakpoints
from edgeloop_shared.records import Priority
from edgeloop_shared.run_events import Event, Gap, TaskFinished, TaskWaiting, encode_event

ENTRIES_AT_ONCE = 256  # then others have their turn: a screen draws its frames in this loop
GATHER_SECONDS = 0.05  # for which output gathers, so that a chatty script costs few records

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskLimits:
    """What a task may use. `companion` is the lock of the companion, without which a worker ends itself."""

    companion: Path
    memory_bytes: int | None = None


class TaskRun:
    """A run and its records. `run` is called once; it goes on where an earlier companion was killed.

    It ends with the record `TaskFinished` whatever happens.
    """

    def __init__(
        self,
        command: RunTask,
        folder: RunFolder,
        records: RunRecords,
        outbox: Outbox,
        transfers: BlobTransfers,
        workers: Workers,
        group: Group,
        limits: TaskLimits,
        compare_clocks: CompareClocks,
        on_state: Callable[[RunState], None],
        on_seen: OnSeen | None,
    ) -> None:
        self.command = command
        self._folder = folder
        self._records = records
        self._outbox = outbox
        self._transfers = transfers
        self._workers = workers
        self._group = group
        self._limits = limits
        self._clock = TraceClock(compare_clocks, self._event)
        self._on_state = on_state
        self.state = RunState.QUEUED
        """Where it is, as the daemon is told."""
        self._on_seen = on_seen
        self._uploads: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[EdgeloopError | None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_followed = False
        self._cancelled = False
        self._canceller: Canceller = "computer"
        self._is_over = False
        self._serves = asyncio.Event()
        """Set when the worker serves its control socket, or never will."""

    def cancel(self, canceller: Canceller) -> None:
        """End the run early; its last record then says so, and for whom. What the worker still says is kept."""
        if self._cancelled:  # a second time would interrupt the tidying up after the first
            return
        self._cancelled, self._canceller = True, canceller
        if self._is_followed:
            self._ending = asyncio.create_task(self._workers.starter.end(self._folder))
        elif self._working:
            self._working.cancel()

    async def control_socket(self) -> Path:
        """Return the worker's control socket once it serves it. Raises `NotFoundError` when the run ends before."""
        await self._serves.wait()
        if self._is_over:
            raise NotFoundError(f"Run {self.command.run_id} has ended.")
        return self._folder.control

    async def run(self) -> RunState:
        """Carry the run out and return how it ended."""
        error: EdgeloopError | None = None
        self._is_now(RunState.PREPARING)
        self._working = asyncio.create_task(self._work())
        if self._cancelled:
            self._working.cancel()
        try:
            error = await self._working
            state = RunState.FAILED if error else RunState.SUCCEEDED
            if self._cancelled:
                state, error = RunState.CANCELLED, self._why_cancelled()
        except asyncio.CancelledError:
            if not self._cancelled:  # the companion itself gives up: a later one goes on
                raise
            state, error = RunState.CANCELLED, self._why_cancelled()
        except EdgeloopError as failure:
            state, error = RunState.FAILED, failure
        except OSError as failure:
            state = RunState.FAILED
            error = EdgeloopError(
                f"The device could not run the task: {failure.strerror or failure}.",
                hint="Check the device's free space and memory.",
            )
        except Exception as failure:
            log.exception("run %s", self.command.run_id)
            state = RunState.FAILED
            error = EdgeloopError(
                f"The companion failed while it ran the task: {type(failure).__name__}: {failure}.",
                hint="This is a fault in edgeloop; the companion's own log has the details.",
            )
        finally:
            self._working.cancel()
            self._is_over = True
            self._serves.set()
        await self._finish(state, error)
        return state

    async def _work(self) -> EdgeloopError | None:
        """Prepare and run the script and bring its files back; return what went wrong in the script."""
        self._upload(self._records.state.files)  # of an earlier companion: the daemon says what it has
        try:
            failure = await self._run_script()
            try:
                await asyncio.gather(*self._uploads)
            except EdgeloopError as error:
                failure = failure or error
            return failure
        finally:
            for upload in self._uploads:
                upload.cancel()

    async def _run_script(self) -> EdgeloopError | None:
        if await asyncio.to_thread(lambda: self._folder.has_begun):
            self._runs_now()
            if self._records.state.traced is not None:
                self._clock.begin(self._records.state.traced)
            async with self._workers.place_of_running(self._group):
                return await self._follow()
        manifest = await fetch_bundle(self.command, self._transfers, self._event)
        order = Order(
            self.command.script,
            self.command.arguments,
            self.command.trace,
            self.command.memory_bytes or self._limits.memory_bytes,
            str(self._limits.companion),
            debug=self.command.debug,
        )
        await asyncio.to_thread(
            _prepare, manifest, self._transfers.store, self._folder, order, self.command.operator_breakpoints
        )
        place, waits = TaskWaiting(0), asyncio.Event()

        def wait_at(now: TaskWaiting) -> None:
            nonlocal place
            place = now
            waits.set()

        async def report() -> None:
            while True:
                await waits.wait()
                waits.clear()
                await self._event(place)

        reporting = asyncio.create_task(report())
        try:
            async with self._workers.place(self._group, wait_at):
                reporting.cancel()
                self._is_followed = True
                await self._workers.starter.start(self._folder)
                return await self._follow()
        finally:
            reporting.cancel()
            self._is_followed = False

    async def _follow(self) -> EdgeloopError | None:
        """Pass on what the worker says until it has ended; return what went wrong."""
        self._is_followed = True
        canceller = await asyncio.to_thread(self._folder.cancelled)
        if self._cancelled or canceller is not None:
            self._cancelled, self._canceller = True, canceller or self._canceller
            await self._workers.starter.end(self._folder)
        reader = JournalReader(self._folder.root, self._records.state.cursor)
        wake = await Wake.open(self._folder.wake)
        try:
            end = await self._pass_on_all(reader, wake)
        finally:
            wake.close()
            self._is_followed = False
        if end is not None and end.lost_bytes:
            now = time.time_ns()
            await self._records.append((), lost={Priority.LOGS: Gap(0, end.lost_bytes, "disk-full", now, now)})
        if (failure := self._records.state.failure) is not None:
            return error_from_dict(failure)
        order = await asyncio.to_thread(self._folder.order)
        return describe_end(end, self._folder.files, order.memory_bytes)

    async def _pass_on_all(self, reader: JournalReader, wake: Wake) -> WorkerEnd | None:
        """Return how the worker ended, once all that it said is passed on; None when it vanished without a word."""
        is_over = False
        while True:
            end = await asyncio.to_thread(self._folder.end)
            cursor = reader.cursor
            entries = await asyncio.to_thread(reader.read)
            if entries:
                await self._pass_on(entries, reader)
            if reader.cursor.segment != cursor.segment:  # also without entries: a full disk waits for it
                await asyncio.to_thread(reader.drop_read)
            if entries:
                if all(entry.kind in SOURCES for entry in entries) and end is None:
                    await wake.gather(GATHER_SECONDS)
            elif end is not None or is_over:
                return end
            else:
                await wake.wait()
                # Asked before the journal and its end are looked at once more.
                is_over = not await self._workers.starter.is_alive(self._folder)

    async def _pass_on(self, entries: Sequence[Entry], reader: JournalReader) -> None:
        """Turn entries of the journal into records, in one step with how far the journal was read."""
        said = WorkerRecords(self._folder.files, self._transfers.store)
        for number, entry in enumerate(entries):
            await said.add(entry)
            if number % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                await asyncio.sleep(0)
        if said.has_started:
            self._runs_now()
        if said.traced is not None:
            self._clock.begin(said.traced)
        await self._records.append(
            said.payloads(), cursor=reader.cursor, files=said.files, failure=said.failure, traced=said.traced
        )
        if self._on_seen is not None:
            self._on_seen(said.seen())
        self._upload(said.files)

    def _upload(self, files: Mapping[str, int]) -> None:
        """Send files to the daemon as soon as it has stored that they are announced."""
        stream = self._records.streams[Priority.EVENTS]
        sequence = stream.last

        async def upload(sha256: str, size: int) -> None:
            await self._outbox.stored(stream.name, sequence)
            await self._transfers.upload(sha256, size)

        self._uploads += [asyncio.create_task(upload(sha256, size)) for sha256, size in files.items()]

    async def _finish(self, state: RunState, error: EdgeloopError | None) -> None:
        for task in (*self._uploads, *filter(None, [self._ending])):
            task.cancel()
        await asyncio.gather(*self._uploads, return_exceptions=True)
        record = error.as_dict() if error else None
        await self._clock.end()

        def last_words(last: Mapping[Priority, int]) -> bytes:
            finished = TaskFinished(time.time_ns(), state, last[Priority.LOGS], last[Priority.TRACES], record)
            said.append(finished)
            return encode_event(finished)

        said: list[TaskFinished] = []  # again when the disk was full
        await self._records.close(last_words)
        try:
            await asyncio.to_thread(self._folder.remove_work)
            await asyncio.to_thread(self._transfers.store.prune)
        except OSError as error:  # the daemon may have stored the last words by now, and then the whole folder goes
            log.info("what run %s has left is not tidied up: %s", self.command.run_id, error)
        self._see(said[-1])
        self._is_now(state)

    def _why_cancelled(self) -> EdgeloopError | None:
        """Return what the computer cannot know of a run's early end: that not its own user wanted it."""
        match self._canceller:
            case "device":
                return CancelledByUserError(
                    "The run was stopped on the device, by its user.",
                    hint="Run again once the device is free, or on another one.",
                )
            case "app":
                return CancelledByUserError(
                    "The device stopped working for this computer: its app was closed, or its user switched the computer off.",
                    hint="Open the edgeloop app there and look at Computers, then run again.",
                )
            case "computer":
                return None

    def _runs_now(self) -> None:
        self._is_now(RunState.RUNNING)
        self._serves.set()

    async def _event(self, event: Event) -> None:
        await self._records.append([(Priority.EVENTS, encode_event(event))])
        self._see(event)

    def _is_now(self, state: RunState) -> None:
        self.state = state
        self._on_state(state)
        self._see(state)

    def _see(self, seen: Seen) -> None:
        if self._on_seen is not None:
            self._on_seen([seen])


def _prepare(
    manifest: BundleManifest,
    store: BlobStore,
    folder: RunFolder,
    order: Order,
    breakpoints: tuple[OperatorBreakpointOrder, ...] | None,
) -> None:
    remove_tree(folder.files)  # an earlier companion may have been killed in the middle of it
    folder.files.mkdir()
    lay_out(manifest, store, folder.files)
    if breakpoints:
        folder.breakpoints.write_bytes(encode_json(SetBreakpoints(breakpoints)))
    folder.write_order(order)
