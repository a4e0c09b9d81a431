"""The runs that have not ended: what their devices say of them, and what becomes of a run whose device is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from edgeloop_daemon.devices.active_run import ActiveRun, cancelled, restored
from edgeloop_daemon.devices.bundles import missing_file_hint
from edgeloop_daemon.devices.commands import Commands, device_error
from edgeloop_daemon.devices.lost_runs import LostRun, LostRuns
from edgeloop_daemon.devices.operator_hits import tell_hits
from edgeloop_daemon.devices.records import RecordLog
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.devices.run_events import Quotas, Reported, describe_final_loss, describe_loss, store_records
from edgeloop_daemon.devices.run_files import RunFiles
from edgeloop_daemon.devices.run_progress import tell_progress
from edgeloop_daemon.devices.run_restore import restore_reported
from edgeloop_daemon.devices.run_table import RunTable, Unfinished
from edgeloop_daemon.events.event_log import PROGRESS_SECONDS
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.intake import seal
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import (
    DeviceVanishedError,
    EdgeloopError,
    NotFoundError,
    StorageError,
    TaskFailedError,
)
from edgeloop_shared.messages import CancelTask, Hello
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Record

VANISH_SECONDS = 30.0
CANCEL_SECONDS = 10.0


class ActiveRuns:
    """It is the `LinkUser` of the links: what devices say of runs comes in here.

    A run whose device's link is gone for `vanish_seconds` has ended for whoever waits for it. When the device is back and
    still has the run, the run goes on.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        registry: Registry,
        commands: Commands,
        *,
        vanish_seconds: float = VANISH_SECONDS,
        quotas: Quotas,
    ) -> None:
        self._table = RunTable(database)
        self._lost = LostRuns(database)
        self._losing = asyncio.Lock()
        """Held while runs are lost, taken up again or given up: what is half lost could be neither."""
        self._lost_changed = asyncio.Event()
        self._database = database
        self._blobs = blobs
        self._registry = registry
        self._commands = commands
        self._records = RecordLog(database)
        self._vanish_seconds = vanish_seconds
        self._quotas = quotas
        self._runs: dict[str, ActiveRun] = {}
        self.files = RunFiles(self._table, blobs, self.on_device)
        self._losses: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take up the runs of an earlier daemon, and keep watch for the block."""
        for unfinished in await self._table.unfinished() if self._database.problem is None else ():
            await self._restore(unfinished, is_on_device=False)
        for device_id in {active.device for active in self._runs.values()}:
            self.unlinked(device_id)
        try:
            yield
        finally:
            tasks = [*self._losses.values(), *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, active: ActiveRun) -> None:
        """Send a new run to its device."""
        self._runs[active.id] = active
        self._send(active)
        if not self._commands.is_linked(active.device):  # lost while the bundle was collected
            self.unlinked(active.device)

    def find(self, run_id: str) -> ActiveRun | None:
        """Return the run, or None when it has ended."""
        return self._runs.get(run_id)

    def device_of(self, run_id: str) -> str | None:
        """Return the device that a run is at work on, or None."""
        active = self._runs.get(run_id)
        return None if active is None else active.device

    def change(self, run_id: str) -> asyncio.Event:
        """Return what is set when something about the run changes; of one that has ended: whether it may return."""
        active = self._runs.get(run_id)
        return self._lost_changed if active is None else active.changed

    def unfinished(self) -> tuple[str, ...]:
        """Return the ids of all runs that have not ended."""
        return tuple(self._runs)

    def of_workspace(self, workspace: str) -> tuple[str, ...]:
        """Return the ids of a workspace's runs that have not ended."""
        return tuple(active.id for active in self._runs.values() if active.command.workspace == workspace)

    def on_device(self, device_id: str) -> tuple[ActiveRun, ...]:
        """Return the runs that a device has or is to have."""
        return tuple(active for active in self._runs.values() if active.device == device_id and not active.has_ended)

    async def cancel(self, run_id: str) -> None:
        """End a run through its device; without its help when it is away or does not obey in time.

        One that may return will not; one that has ended for good stays as it is.
        """
        async with self._losing:
            if (active := self._runs.get(run_id)) is not None:
                await self._table.request_cancel(run_id)
                await self._cancel(active, cancelled(run_id))
                return
            run = await self._table.get(run_id)
            if run.may_return and run.error is not None and run.error["code"] == DeviceVanishedError.code:
                await self._table.end(run_id, RunState.CANCELLED, cancelled(run_id))
                self._tell_lost_changed()

    async def _cancel(self, active: ActiveRun, error: EdgeloopError) -> None:
        if self._commands.is_linked(active.device):
            self._tell_to_end(active.device, active.id)
            self._later(CANCEL_SECONDS, lambda: self._end(active, RunState.CANCELLED, error))
        else:
            await self._end(active, RunState.CANCELLED, error)

    # What devices say (`LinkUser`)

    def wants(self, device_id: str, epoch: str, stream: str) -> bool:
        """Return whether the stream belongs to a run that this device works on."""
        active = self._runs.get(stream.partition(".")[0])
        if active is None or active.device != device_id or active.has_ended or active.reported.failure is not None:
            return False
        return active.reported.epoch in (None, epoch)

    async def positions(self, device_id: str, epoch: str, streams: Iterable[str]) -> dict[str, int]:
        """Return the last stored sequence number of each stream."""
        return await self._records.positions(device_id, epoch, streams)

    async def store(self, device_id: str, epoch: str, records: tuple[Record, ...]) -> None:
        """Store records with what they say, then act on it."""
        by_run: dict[str, list[Record]] = {}
        for record in records:
            if self.wants(device_id, epoch, record.stream):
                by_run.setdefault(record.run_id, []).append(record)
        before = {run_id: self._runs[run_id].reported for run_id in by_run}

        def write(db: Tables) -> dict[str, Reported]:
            return {
                run_id: store_records(db, device_id, epoch, run_id, items, before[run_id], self._quotas)
                for run_id, items in by_run.items()
            }

        for run_id, reported in (await self._database.write(write)).items():
            active = self._runs.get(run_id)
            if active is not None:
                await self._reported(active, reported)

    async def lost_records(self, device_id: str, stream: str) -> None:
        """Records that were stored are not here any more: the run ends, and the device is told so."""
        active = self._runs.get(stream.partition(".")[0])
        if active is None or active.device != device_id:
            return
        error = StorageError(
            f"This computer has lost records of run {active.id} that it had stored, as happens when its power fails.",
            hint=f"What is left of it is kept. Run {active.command.script} again.",
        )
        self._tell_to_end(device_id, active.id)
        await self._end(active, RunState.FAILED, error)

    async def linked(self, device_id: str, hello: Hello) -> None:
        """The device is back: what it no longer knows of has ended, and what it should not do any more is cancelled."""
        held = {stream.partition(".")[0] for stream in hello.streams} | set(hello.runs)
        async with self._losing:
            if (loss := self._losses.pop(device_id, None)) is not None:
                loss.cancel()
            await self._take_up(device_id, held, hello.epoch)
            for active in self.on_device(device_id):
                if active.id in held:
                    active.was_accepted = True
                    if active.reported.epoch not in (None, hello.epoch):
                        await self._lose(active, "its app was started anew and had lost its records")
                elif active.was_accepted:
                    await self._lose(active, "its app was started anew")
        for run_id in hello.runs:
            known = self._runs.get(run_id)
            if known is None or known.device != device_id:
                self._tell_to_end(device_id, run_id)

    def unlinked(self, device_id: str) -> None:
        """The device's link has ended: its runs wait for its return, for a while."""
        if self.on_device(device_id) and device_id not in self._losses:
            self._losses[device_id] = asyncio.create_task(self._wait_for_return(device_id))

    async def revoked(self, device_id: str, name: str) -> None:
        """The device that was called `name` is no longer paired: its runs have ended, and none returns."""
        async with self._losing:
            for active in self.on_device(device_id):
                await self._lose(active, "it was unpaired", name=name)
            await self._settle(await self._lost.of_device(device_id), "it was unpaired", name)
        self._commands.drop_all(device_id)

    # What follows from it

    def _send(self, active: ActiveRun) -> None:
        self._commands.post(active.device, active.command, lambda error: self._answered(active, error))

    def _answered(self, active: ActiveRun, error: EdgeloopError | None) -> None:
        if error is None:
            active.was_accepted = True
        else:
            self._later(0.0, lambda: self._end(active, RunState.FAILED, error))

    def _tell_to_end(self, device_id: str, run_id: str) -> None:
        self._commands.post(device_id, CancelTask(new_id("c"), run_id), lambda _: None)

    async def _reported(self, active: ActiveRun, reported: Reported) -> None:
        new_files = reported.files.items() - active.reported.files.items()
        if reported.state is RunState.RUNNING and active.reported.state is not RunState.RUNNING:
            active.started_at = time.time()
        active.reported = reported
        active.was_accepted = True
        await self.files.announced(active, {sha256 for _, (sha256, _) in new_files})
        if reported.failure is not None:
            self._tell_to_end(active.device, active.id)
            await self._end(active, RunState.FAILED, reported.failure)
        elif reported.is_complete:
            await self._finish(active)
        else:
            active.notify()
            self._tell_rest(active)

    def _tell_rest(self, active: ActiveRun) -> None:
        """See to it that the event log learns of hits and progress that came too soon after others, although none follow."""
        reported = active.reported
        if active.tells_rest or (reported.hits.is_told and reported.progress.is_told):
            return

        async def tell() -> None:
            active.tells_rest = False
            hits, progress = active.reported.hits, active.reported.progress
            told_hits, told_progress = await self._database.write(
                lambda db: (tell_hits(db, active.id, hits), tell_progress(db, active.id, progress))
            )
            active.reported = replace(
                active.reported,
                hits=replace(active.reported.hits, told=told_hits.told),
                progress=replace(active.reported.progress, told=told_progress.told),
            )
            self._tell_rest(active)

        active.tells_rest = True
        self._later(PROGRESS_SECONDS, tell)

    async def _finish(self, active: ActiveRun, *, may_return: bool = False) -> None:
        finished = active.reported.finished
        assert finished is not None
        error: EdgeloopError | None = None
        if finished.error is not None:
            try:
                error = device_error(finished.error)
            except EdgeloopError as unreadable:
                error = unreadable
        elif finished.state is RunState.FAILED:
            error = TaskFailedError(f"{active.command.script} failed; the device did not say why.")
        if error is not None and active.root is not None:
            error.hint = await asyncio.to_thread(missing_file_hint, error, active.root) or error.hint
        await self._end(active, finished.state, error, may_return=may_return)

    async def _lose(self, active: ActiveRun, reason: str, *, may_return: bool = False, name: str = "") -> None:
        if active.reported.finished is not None:
            await self._finish(active, may_return=may_return)  # the rest of its output is missing, its outcome is known
            return
        seconds = max(0.0, time.time() - active.started_at)  # the clock may have been set back
        name = name or self._name(active.device)
        error = describe_loss(name, active.command.script, reason, active.reported, seconds)
        if may_return:
            error.hint = (
                "If the device still has the run, it goes on there, and what it reports appears here when the device is back:"
                f" `edgeloop logs -f {active.id}`. Check its power and network."
            )
        await self._end(active, RunState.FAILED, error, may_return=may_return)

    async def _wait_for_return(self, device_id: str) -> None:
        await asyncio.sleep(self._vanish_seconds)
        async with self._losing:  # here a device that is just linking cancels this
            self._losses.pop(device_id, None)
            for active in self.on_device(device_id):
                await self._lose(active, f"its link was gone for {self._vanish_seconds:g} s", may_return=True)

    async def _take_up(self, device_id: str, held: set[str], epoch: str) -> None:
        """Go on with the lost runs that the device still has, from what is stored of them; the others do not return."""
        lost = await self._lost.of_device(device_id)
        if not lost:
            return
        returning = {run.id for run in lost if run.id in held and run.epoch in (None, epoch)}
        for unfinished in await self._lost.take_up(returning, lost):
            await self._restore(unfinished, is_on_device=True)
        await self._settle([run for run in lost if run.id not in returning], "its app was started anew")
        self._tell_lost_changed()

    async def _settle(self, lost: Iterable[LostRun], reason: str, name: str = "") -> None:
        for run in lost:
            error = describe_final_loss(name or self._name(run.device), run.script, reason)
            await self._lost.settle(run.id, error)
            self._tell_lost_changed()

    def _tell_lost_changed(self) -> None:
        changed, self._lost_changed = self._lost_changed, asyncio.Event()
        changed.set()

    def _name(self, device_id: str) -> str:
        device = self._registry.find(device_id)
        return device.info.name if device is not None else device_id

    async def _end(
        self, active: ActiveRun, state: RunState, error: EdgeloopError | None, *, may_return: bool = False
    ) -> None:
        if active.has_ended:
            return
        active.has_ended = True
        self._commands.drop(active.device, active.command.command_id)
        if not may_return:
            await self.files.drop_partial(active)
        if active.reported.unsealed:  # a run that is cut short leaves a rest
            await self._database.write(lambda db: seal(db, active.id))
        await self._table.end(active.id, state, error, may_return=may_return)
        del self._runs[active.id]
        active.notify()

    async def _restore(self, unfinished: Unfinished, *, is_on_device: bool) -> None:
        run, manifest = unfinished.run, unfinished.manifest
        reported = await self._database.read(lambda db: restore_reported(db, run))
        sql = "select name from workspaces where id = ?"
        ((name,),) = await self._database.read(lambda db: db.execute(sql, [run.workspace]).fetchall())
        try:
            content = await asyncio.to_thread(lambda: self._blobs.open_path(manifest).read_bytes())
            files = decode_json(BundleManifest, content, max_bytes=MAX_MANIFEST_BYTES).files
        except (EdgeloopError, OSError) as error:
            lost = NotFoundError(f"The bundle of run {run.id} is not here any more: {error}")
            await self._table.end(run.id, RunState.FAILED, lost)
            return
        active = restored(run, name, manifest, len(content), frozenset(file.sha256 for file in files), reported)
        active.was_accepted = is_on_device or reported.epoch is not None
        self._runs[run.id] = active
        if reported.is_complete:
            await self._finish(active)
        elif unfinished.is_cancel_requested:
            await self._cancel(active, cancelled(run.id))
        elif not active.was_accepted:
            self._send(active)

    def _later(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await do()

        task = asyncio.create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
