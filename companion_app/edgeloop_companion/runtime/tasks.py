"""One task run, from the command to its last record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.runtime.bundles import lay_out, read_manifest
from edgeloop_companion.runtime.crashes import describe_crash
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.output import TaskLog
from edgeloop_companion.runtime.reports import FileReported, TracesReported, Unusable, read_reports
from edgeloop_companion.runtime.storage import BlobStore, StateFolder
from edgeloop_companion.runtime.workers import Pipe, Worker, Workers
from edgeloop_shared.bundles import BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import EdgeloopError, MessageError, TransferError, error_from_dict
from edgeloop_shared.messages import (
    Event,
    FileAnnounced,
    RunTask,
    TaskFinished,
    TaskStarted,
    TransferProgress,
    encode_event,
)
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Priority, stream_name

PROGRESS_SECONDS = 0.25
PARALLEL_TRANSFERS = 4
LAST_WORDS_SECONDS = 2.0
MAX_STATUS_BYTES = 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Word:
    """A word of the worker, see `runtime.worker`."""

    event: Literal["started", "failed"]
    error: Mapping[str, Any] = field(default_factory=dict)


class BlobTransfers(Protocol):
    """Brings blobs to the device and back, over however many links it takes."""

    @property
    def store(self) -> BlobStore:
        """Where fetched blobs lie, and those to upload."""

    async def fetch(self, sha256: str, size: int, on_bytes: Callable[[int], None]) -> None:
        """Bring a blob into the store. Raises `EdgeloopError` when that is impossible."""

    async def upload(self, sha256: str, size: int) -> None:
        """Send a blob of the store. Raises `EdgeloopError` when that is impossible."""


class TaskRun:
    """A run and its three streams. `run` is called once; it ends with the record `TaskFinished` whatever happens."""

    def __init__(
        self,
        command: RunTask,
        outbox: Outbox,
        transfers: BlobTransfers,
        state_folder: StateFolder,
        workers: Workers,
        on_state: Callable[[RunState], None],
    ) -> None:
        self._command = command
        self._outbox = outbox
        self._transfers = transfers
        self._state_folder = state_folder
        self._workers = workers
        self._on_state = on_state
        self._events = stream_name(command.run_id, Priority.EVENTS)
        self._traces = stream_name(command.run_id, Priority.TRACES)
        self._log = TaskLog(outbox, stream_name(command.run_id, Priority.LOGS))
        self._last_trace = 0
        self._uploads: list[asyncio.Task[None]] = []
        self._started = asyncio.Event()
        self._working: asyncio.Task[EdgeloopError | None] | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the run early; its last record then says so."""
        if self._working and not self._cancelled:  # a second time would interrupt the tidying up after the first
            self._working.cancel()
        self._cancelled = True

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
        except asyncio.CancelledError:
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
        await self._finish(state, error)
        return state

    async def _work(self) -> EdgeloopError | None:
        """Prepare and run the script and bring its files back; return what went wrong in the script."""
        async with self._log.flushing():
            failure = await self._run_script()
            try:
                await asyncio.gather(*self._uploads)
            except EdgeloopError as error:
                failure = failure or error
            return failure

    async def _run_script(self) -> EdgeloopError | None:
        manifest = await self._fetch_bundle()
        folder = await asyncio.to_thread(self._state_folder.new_task_folder)
        try:
            files = folder / "files"
            await asyncio.to_thread(_prepare, manifest, self._transfers.store, files)
            async with self._workers.slot() as starter:
                order = Order(self._command.script, self._command.arguments, self._command.trace)
                worker = await starter.start(order, files)
                return await self._follow(worker, files)
        finally:
            await asyncio.to_thread(self._state_folder.remove_task_folder, folder)
            await asyncio.to_thread(self._transfers.store.prune)

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

    async def _follow(self, worker: Worker, folder: Path) -> EdgeloopError | None:
        """Pass on what the worker says until it has ended; a cancelled run ends it."""
        status = asyncio.create_task(self._follow_status(worker.status))
        pumps = [
            status,
            asyncio.create_task(self._log.follow(worker.stdout, "stdout")),
            asyncio.create_task(self._log.follow(worker.stderr, "stderr")),
            asyncio.create_task(self._follow_reports(worker.reports, folder)),
        ]
        try:
            await asyncio.shield(asyncio.gather(worker.exited, *pumps))
        finally:
            await worker.end()
            # After an ordinary end all pumps are done. A cancelled run keeps the worker's last words if there is room.
            _, unfinished = await asyncio.wait(pumps, timeout=LAST_WORDS_SECONDS)
            for pump in unfinished:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            worker.close()
        return status.result() or describe_crash(worker.exited.result(), tuple(self._log.last_lines), folder)

    async def _follow_status(self, pipe: Pipe) -> EdgeloopError | None:
        """Announce the start when the worker says so; return the failure of the script when it names one."""
        buffer = bytearray()
        failure: EdgeloopError | None = None
        while data := await pipe.read():
            buffer += data
            if len(buffer) > MAX_STATUS_BYTES:
                raise MessageError("The worker's own words exceed their limit.")
            while b"\n" in buffer:
                line, _, rest = bytes(buffer).partition(b"\n")
                buffer[:] = rest
                failure = await self._obey_status(decode_json(_Word, line, max_bytes=MAX_STATUS_BYTES)) or failure
        self._started.set()
        return failure

    async def _obey_status(self, word: _Word) -> EdgeloopError | None:
        if word.event == "started":
            self._on_state(RunState.RUNNING)
            await self._event(TaskStarted(time.time_ns()))
            self._started.set()
            return None
        return error_from_dict(word.error)

    async def _follow_reports(self, pipe: Pipe, folder: Path) -> None:
        await self._started.wait()  # the start is announced before anything that the script reports
        async for report in read_reports(pipe):
            if isinstance(report, TracesReported):
                self._last_trace = await self._outbox.append(self._traces, report.data)
            elif isinstance(report, FileReported):
                await self._announce(report, folder)
            elif isinstance(report, Unusable):
                await self._log.add("system", f"A report of the script was left out: {report.reason}")
            else:
                await self._event(report)

    async def _announce(self, report: FileReported, folder: Path) -> None:
        try:
            sha256, size = await asyncio.to_thread(self._transfers.store.take, folder / report.path)
        except OSError as error:
            await self._log.add("system", f"The reported file {report.name} cannot be read: {error.strerror}.")
            return
        sequence = await self._event(FileAnnounced(report.name, sha256, size))

        async def upload() -> None:
            await self._outbox.stored(self._events, sequence)
            await self._transfers.upload(sha256, size)

        self._uploads.append(asyncio.create_task(upload()))

    async def _finish(self, state: RunState, error: EdgeloopError | None) -> None:
        for upload in self._uploads:
            upload.cancel()
        await asyncio.gather(*self._uploads, return_exceptions=True)
        await self._log.flush()
        finished = TaskFinished(
            time.time_ns(), state, self._log.position, self._last_trace, error.as_dict() if error else None
        )
        await self._event(finished)
        for priority in Priority:
            self._outbox.close_stream(stream_name(self._command.run_id, priority))
        self._on_state(state)

    async def _event(self, event: Event) -> int:
        return await self._outbox.append(self._events, encode_event(event))


def _prepare(manifest: BundleManifest, store: BlobStore, files: Path) -> None:
    files.mkdir()
    lay_out(manifest, store, files)


def _first(failures: BaseExceptionGroup[EdgeloopError]) -> EdgeloopError:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure if isinstance(failure, EdgeloopError) else TransferError(str(failure))
