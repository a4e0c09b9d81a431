"""One task run, from the command to its last record, by one companion or by several in turn."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from edgeloop_companion.link.outbox import Outbox, RunRecords
from edgeloop_companion.runtime.bundles import lay_out, read_manifest
from edgeloop_companion.runtime.crashes import describe_end
from edgeloop_companion.runtime.journal import Entry, JournalReader, Kind
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.output import Source, pack_lines
from edgeloop_companion.runtime.reports import FileReported, Report, Unusable, read_report
from edgeloop_companion.runtime.run_folder import RunFolder, WorkerEnd, remove_tree
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.runtime.streams import MAX_LINE_CHARACTERS
from edgeloop_companion.runtime.trace_batches import TracesReported, merged
from edgeloop_companion.runtime.trace_clock import CompareClocks, TraceClock
from edgeloop_companion.runtime.wake import Wake
from edgeloop_companion.runtime.workers import Workers
from edgeloop_shared.bundles import BundleManifest
from edgeloop_shared.codec import decode_json, encode_json, printable
from edgeloop_shared.errors import EdgeloopError, MessageError, NotFoundError, TransferError, error_from_dict
from edgeloop_shared.messages import (
    Event,
    FileAnnounced,
    Gap,
    LogLine,
    RunTask,
    TaskFinished,
    TaskStarted,
    TaskWaiting,
    TransferProgress,
    encode_event,
)
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.operator_control import SetBreakpoints
from edgeloop_shared.operator_hits import OperatorHitReported, hit_lines
from edgeloop_shared.operator_stops import OperatorsMatched, OperatorStopped, matched_words, stopped_line
from edgeloop_shared.records import Priority
from edgeloop_shared.spans import TraceStarted

PROGRESS_SECONDS = 0.25
GATHER_SECONDS = 0.05  # for which output gathers, so that a chatty script costs few records
PARALLEL_TRANSFERS = 4
LARGE_REPORT_BYTES = 64 * 1024  # beyond it the event loop does not read a report itself
MAX_WORD_BYTES = 1024 * 1024
_SOURCES: Mapping[int, Source] = {Kind.STDOUT: "stdout", Kind.STDERR: "stderr"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Word:
    """A word of the worker, see `runtime.worker`."""

    event: Literal["started", "note", "failed"]
    error: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", metadata={"max_length": MAX_LINE_CHARACTERS})


class BlobTransfers(Protocol):
    """Brings blobs to the device and back, over however many links it takes."""

    @property
    def store(self) -> BlobStore:
        """Where fetched blobs lie, and those to upload."""

    async def fetch(self, sha256: str, size: int, on_bytes: Callable[[int], None]) -> None:
        """Bring a blob into the store. Raises `EdgeloopError` when that is impossible."""

    async def upload(self, sha256: str, size: int) -> None:
        """Send a blob of the store. Raises `EdgeloopError` when that is impossible."""


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
        group: str,
        limits: TaskLimits,
        compare_clocks: CompareClocks,
        on_state: Callable[[RunState], None],
    ) -> None:
        self._command = command
        self._folder = folder
        self._records = records
        self._outbox = outbox
        self._transfers = transfers
        self._workers = workers
        self._group = group
        self._limits = limits
        self._clock = TraceClock(compare_clocks, self._event)
        self._on_state = on_state
        self._uploads: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[EdgeloopError | None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_followed = False
        self._cancelled = False
        self._is_over = False
        self._serves = asyncio.Event()
        """Set when the worker serves its control socket, or never will."""

    def cancel(self) -> None:
        """End the run early; its last record then says so. What the worker still says is kept."""
        if self._cancelled:  # a second time would interrupt the tidying up after the first
            return
        self._cancelled = True
        if self._is_followed:
            self._ending = asyncio.create_task(self._workers.starter.end(self._folder))
        elif self._working:
            self._working.cancel()

    async def control_socket(self) -> Path:
        """Return the worker's control socket once it serves it. Raises `NotFoundError` when the run ends before."""
        await self._serves.wait()
        if self._is_over:
            raise NotFoundError(f"Run {self._command.run_id} has ended.")
        return self._folder.control

    async def run(self) -> RunState:
        """Carry the run out and return how it ended."""
        error: EdgeloopError | None = None
        self._on_state(RunState.PREPARING)
        self._working = asyncio.create_task(self._work())
        if self._cancelled:
            self._working.cancel()
        try:
            error = await self._working
            state = RunState.FAILED if error else RunState.SUCCEEDED
            if self._cancelled:
                state, error = RunState.CANCELLED, None
        except asyncio.CancelledError:
            if not self._cancelled:  # the companion itself gives up: a later one goes on
                raise
            state = RunState.CANCELLED
        except EdgeloopError as failure:
            state, error = RunState.FAILED, failure
        except OSError as failure:
            state = RunState.FAILED
            error = EdgeloopError(
                f"The device could not run the task: {failure.strerror or failure}.",
                hint="Check the device's free space and memory.",
            )
        except Exception as failure:
            log.exception("run %s", self._command.run_id)
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
            async with self._workers.place_of_running():
                return await self._follow()
        manifest = await self._fetch_bundle()
        order = Order(
            self._command.script,
            self._command.arguments,
            self._command.trace,
            self._command.memory_bytes or self._limits.memory_bytes,
            str(self._limits.companion),
            debug=self._command.debug,
        )
        await asyncio.to_thread(
            _prepare, manifest, self._transfers.store, self._folder, order, self._command.operator_breakpoints
        )
        before, waits = 0, asyncio.Event()

        def wait_behind(others: int) -> None:
            nonlocal before
            before = others
            waits.set()

        async def report() -> None:
            while True:
                await waits.wait()
                waits.clear()
                await self._event(TaskWaiting(before))

        reporting = asyncio.create_task(report())
        try:
            async with self._workers.place(self._group, wait_behind):
                reporting.cancel()
                self._is_followed = True
                await self._workers.starter.start(self._folder)
                return await self._follow()
        finally:
            reporting.cancel()
            self._is_followed = False

    async def _fetch_bundle(self) -> BundleManifest:
        command, store = self._command, self._transfers.store
        await self._transfers.fetch(command.manifest, command.manifest_bytes, lambda _: None)
        data = await asyncio.to_thread(store.path(command.manifest).read_bytes)
        manifest = await asyncio.to_thread(read_manifest, data, command.script)
        missing = await asyncio.to_thread(store.missing, manifest.sizes)
        total, received = sum(missing.values()), 0
        places = asyncio.Semaphore(PARALLEL_TRANSFERS)

        def count(arrived: int) -> None:
            nonlocal received
            received += arrived

        async def fetch(sha256: str, size: int) -> None:
            async with places:
                await self._transfers.fetch(sha256, size, count)

        async def report() -> None:
            while True:
                await self._event(TransferProgress(received, total))
                await asyncio.sleep(PROGRESS_SECONDS)

        reporting = asyncio.create_task(report())
        try:
            async with asyncio.TaskGroup() as group:
                for sha256, size in missing.items():
                    group.create_task(fetch(sha256, size))
        except* EdgeloopError as failures:
            raise _first(failures) from None
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
        await self._event(TransferProgress(received, total))
        return manifest

    async def _follow(self) -> EdgeloopError | None:
        """Pass on what the worker says until it has ended; return what went wrong."""
        self._is_followed = True
        if self._cancelled or await asyncio.to_thread(lambda: self._folder.is_cancelled):
            self._cancelled = True
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
                if all(entry.kind in _SOURCES for entry in entries) and end is None:
                    await wake.gather(GATHER_SECONDS)
            elif end is not None or is_over:
                return end
            else:
                await wake.wait()
                # Asked before the journal and its end are looked at once more.
                is_over = not await self._workers.starter.is_alive(self._folder)

    async def _pass_on(self, entries: Sequence[Entry], reader: JournalReader) -> None:
        """Turn entries of the journal into records, in one step with how far the journal was read."""
        payloads: list[tuple[Priority, bytes]] = []
        lines: list[LogLine] = []
        traces: list[TracesReported] = []
        files: dict[str, int] = {}
        failure: Mapping[str, Any] | None = None

        def event(what: Event) -> None:
            payloads.append((Priority.EVENTS, encode_event(what)))

        for entry in entries:
            if entry.kind in _SOURCES:
                source = _SOURCES[entry.kind]
                lines += [LogLine(entry.time_ns, source, line) for line in entry.payload.decode().split("\n")]
            elif entry.kind == Kind.UNUSABLE:
                lines.append(_left_out(entry.time_ns, entry.payload.decode()))
            elif entry.kind == Kind.WORD:
                try:
                    word = decode_json(_Word, entry.payload, max_bytes=MAX_WORD_BYTES)
                except MessageError:
                    continue  # a script may write anywhere
                if word.event == "started":
                    self._runs_now()
                    event(TaskStarted(entry.time_ns))
                elif word.event == "note":
                    lines.append(LogLine(entry.time_ns, "system", word.text))
                else:
                    failure = word.error
            else:
                match await _report(entry.payload):
                    case TracesReported() as batch:
                        traces.append(batch)
                    case Unusable(reason):
                        lines.append(_left_out(entry.time_ns, reason))
                    case FileReported(path, name):
                        try:
                            sha256, size = await asyncio.to_thread(
                                self._transfers.store.take, self._folder.files / path
                            )
                        except OSError as error:
                            text = f"The reported file {name} cannot be read: {error.strerror}."
                            lines.append(LogLine(entry.time_ns, "system", text))
                        else:
                            event(FileAnnounced(name, sha256, size))
                            files[sha256] = size
                    case OperatorHitReported() as hit:
                        event(hit)
                        lines += [LogLine(entry.time_ns, "system", line) for line in hit_lines(hit)]
                    case OperatorStopped() as stopped:
                        event(stopped)
                        lines.append(LogLine(entry.time_ns, "system", stopped_line(stopped)))
                    case OperatorsMatched() as matched:
                        event(matched)
                        if not matched.count:
                            text = f"{printable(matched.breakpoint)} {matched_words(matched)}"
                            lines.append(LogLine(entry.time_ns, "system", text))
                    case report:
                        event(report)
                        if isinstance(report, TraceStarted):
                            self._clock.begin(report)
        payloads += [(Priority.TRACES, payload) for payload in merged(traces)]
        payloads += [(Priority.LOGS, payload) for payload in pack_lines(lines)]
        await self._records.append(payloads, cursor=reader.cursor, files=files, failure=failure)
        self._upload(files)

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
            return encode_event(finished)

        await self._records.close(last_words)
        await asyncio.to_thread(self._folder.remove_work)
        await asyncio.to_thread(self._transfers.store.prune)
        self._on_state(state)

    def _runs_now(self) -> None:
        self._on_state(RunState.RUNNING)
        self._serves.set()

    async def _event(self, event: Event) -> None:
        await self._records.append([(Priority.EVENTS, encode_event(event))])


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


async def _report(frame: bytes) -> Report:
    """Return the report in a frame; a large one is read in a thread: a table of 10,000 operators takes a third of a second."""
    return read_report(frame) if len(frame) < LARGE_REPORT_BYTES else await asyncio.to_thread(read_report, frame)


def _left_out(time_ns: int, reason: str) -> LogLine:
    return LogLine(time_ns, "system", f"A report of the script was left out: {reason}")


def _first(failures: BaseExceptionGroup[EdgeloopError]) -> EdgeloopError:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure if isinstance(failure, EdgeloopError) else TransferError(str(failure))
