"""Runs: scripts of a workspace on a device, as users start, follow and end them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeloop_daemon.devices.active_run import ActiveRun
from edgeloop_daemon.devices.active_runs import CANCEL_SECONDS, ActiveRuns
from edgeloop_daemon.devices.bundles import Bundle, BundleCollector, DeviceTool, JobScript, RunWorkspace
from edgeloop_daemon.devices.commands import Commands
from edgeloop_daemon.devices.operator_hits import OperatorHit, OperatorHits
from edgeloop_daemon.devices.operator_stops import OperatorStop, OperatorStops
from edgeloop_daemon.devices.records import RecordLog, StoredPayload
from edgeloop_daemon.devices.registry import PairedDevice, Registry
from edgeloop_daemon.devices.run_breakpoints import NO_BREAKPOINTS, RunBreakpoints, reference_files
from edgeloop_daemon.devices.run_events import describe_gap
from edgeloop_daemon.devices.run_table import Metric, NewRun, Run, RunFile, RunTable
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import (
    DeviceUnavailableError,
    InvalidInputError,
    MessageError,
    NotFoundError,
    TooLargeError,
)
from edgeloop_shared.messages import MAX_FRAME_BYTES, RunTask, encode_message
from edgeloop_shared.models import DebugMode
from edgeloop_shared.operator_hits import TensorSummary
from edgeloop_shared.operator_stops import OperatorsMatched
from edgeloop_shared.records import MAX_PAYLOAD, Priority, stream_name
from edgeloop_shared.run_events import Gap, LogLine


@dataclass(frozen=True)
class LogPage:
    """Output of a run. `next_offset` goes on behind it; `ended` says that nothing more will come."""

    items: tuple[LogLine, ...]
    next_offset: int
    ended: bool


class Runs:
    """All runs of all workspaces."""

    def __init__(
        self, database: Database, blobs: BlobStore, registry: Registry, commands: Commands, active: ActiveRuns
    ) -> None:
        self._table = RunTable(database)
        self._records = RecordLog(database)
        self._hits = OperatorHits(database)
        self._stops = OperatorStops(database)
        self._blobs = blobs
        self._bundles = BundleCollector(blobs)
        self._registry = registry
        self._commands = commands
        self._active = active

    async def start(
        self,
        workspace: RunWorkspace,
        script: str,
        arguments: tuple[str, ...] = (),
        *,
        device: str | None = None,
        include: tuple[str, ...] = (),
        trace: bool = False,
        memory_mb: int | None = None,
        debug: DebugMode = "off",
        breakpoints: RunBreakpoints = NO_BREAKPOINTS,
        also: Callable[[Tables, str], None] | None = None,
    ) -> Run:
        """Collect the bundle and send the run to a device, named by id or name.

        Without one it is the workspace's, else the only linked one. `memory_mb` MiB is what the script may allocate (default:
        the workspace's setting, else the device's own bound). With `debug` the script begins under a debugger. `breakpoints` on
        operators are on from the beginning. `also` is called in the transaction that adds the run, with its id. Raises
        `DeviceUnavailableError`, `NotFoundError`, `InvalidInputError`, `BundleError`, `TooLargeError`.
        """
        target = self._device(device or workspace.device)
        placed = await asyncio.to_thread(reference_files, workspace.root, breakpoints.items)
        bundle = await self._bundles.collect(workspace, script, arguments, include, placed)
        return await self._begin(
            workspace, target, bundle, trace=trace, memory_mb=memory_mb, debug=debug, breakpoints=breakpoints, also=also
        )

    async def start_tool(
        self,
        workspace: RunWorkspace,
        tool: DeviceTool,
        *,
        device: str | None = None,
        include: tuple[str, ...] = (),
        memory_mb: int | None = None,
        also: Callable[[Tables, str], None] | None = None,
    ) -> Run:
        """Send a tool of edgeloop's own to a device, as `start` does a script."""
        target = self._device(device or workspace.device)
        bundle = await self._bundles.collect_tool(workspace, tool, include)
        return await self._begin(workspace, target, bundle, memory_mb=memory_mb, also=also)

    async def start_job_script(
        self,
        workspace: RunWorkspace,
        script: JobScript,
        *,
        device: str | None = None,
        also: Callable[[Tables, str], None] | None = None,
    ) -> Run:
        """Send the script of a job to a device, as `start` does one of the workspace."""
        target = self._device(device or workspace.device)
        bundle = await self._bundles.collect_job_script(workspace, script)
        return await self._begin(workspace, target, bundle, also=also)

    async def _begin(
        self,
        workspace: RunWorkspace,
        target: PairedDevice,
        bundle: Bundle,
        *,
        trace: bool = False,
        memory_mb: int | None = None,
        debug: DebugMode = "off",
        breakpoints: RunBreakpoints = NO_BREAKPOINTS,
        also: Callable[[Tables, str], None] | None,
    ) -> Run:
        memory_mb = memory_mb or workspace.memory_mb
        memory_bytes = None if memory_mb is None else memory_mb * 1024**2
        run_id = new_id("r")
        command = RunTask(
            command_id=run_id,  # so that a repetition after a restart of this daemon is recognised as one
            run_id=run_id,
            workspace=workspace.id,
            manifest=bundle.manifest,
            manifest_bytes=bundle.manifest_bytes,
            script=bundle.script,
            arguments=bundle.arguments,
            trace=trace,
            memory_bytes=memory_bytes,
            debug=None if debug == "off" else debug,
            operator_breakpoints=breakpoints.orders or None,
            workspace_name=workspace.name,
        )
        if len(encode_message(command).encode()) > MAX_FRAME_BYTES:
            raise TooLargeError(
                f"The script's arguments{' and its breakpoints' if breakpoints.items else ''} are too long.",
                hint="Pass them in a file of the workspace.",
            )
        new = NewRun(
            *(run_id, workspace.id, target.id, bundle.script, bundle.arguments, trace, bundle.manifest, memory_bytes),
            debug=debug,
            operator_breakpoints=breakpoints.orders,
            kept_breakpoints=breakpoints.with_kept,
        )
        await self._table.insert(new, also)
        self._active.add(ActiveRun(command, target.id, bundle.blobs, workspace.root))
        return await self._table.get(run_id)

    async def list(
        self,
        workspace: str | None = None,
        device: str | None = None,
        limit: int = 100,
        behind: tuple[float, str] | None = None,
        prefix: str | None = None,
    ) -> tuple[Run, ...]:
        """Return runs, the newest first; see `RunTable.newest`."""
        return await self._table.newest(workspace, device, limit, behind, prefix)

    async def get(self, run_id: str, wait: float = 0.0, *, for_good: bool = False) -> Run:
        """Return a run; with `wait` seconds, once it has ended or that time is over. Raises `NotFoundError`.

        With `for_good` one that may return with its device has not ended.
        """
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            changed = self._active.change(run_id)
            run = await self._table.get(run_id)
            has_ended = run.state.is_terminal and not (for_good and run.may_return)
            if has_ended or not await _is_set_by(changed, deadline):
                return run

    def change(self, run_id: str) -> asyncio.Event:
        """Return what is set when something about the run changes."""
        return self._active.change(run_id)

    def at_work(self, workspace: str) -> tuple[str, ...]:
        """Return the ids of a workspace's runs that have not ended."""
        return self._active.of_workspace(workspace)

    async def cancel(self, run_id: str) -> Run:
        """Ask for the end of a run and return it as it is now; nothing happens to one that has ended for good."""
        await self._active.cancel(run_id)
        return await self._table.get(run_id)

    async def stop_all(self) -> None:
        """Ask for the end of every run, and return when all have ended (after a bounded time at the latest)."""
        running = self._active.unfinished()
        for run_id in running:
            await self.cancel(run_id)
        await asyncio.gather(*(self.get(run_id, CANCEL_SECONDS + 1.0) for run_id in running))

    async def log(self, run_id: str, offset: int = 0, limit: int = 65536, wait: float = 0.0) -> LogPage:
        """Return output behind `offset`: zero, or an earlier page's `next_offset`. `limit` is in bytes, roughly.

        With `wait` seconds an empty page comes only when the run has ended or that time is over. Raises `NotFoundError`.
        """
        deadline = asyncio.get_running_loop().time() + wait
        stream = stream_name(run_id, Priority.LOGS)
        while True:
            changed = self._active.change(run_id)
            run = await self._table.get(run_id)
            payloads = await self._records.payloads(stream, after=offset, max_bytes=limit)
            if payloads:
                items = tuple(line for payload in payloads for line in _lines(payload))
                return LogPage(items, payloads[-1].sequence, ended=False)
            if run.state.is_terminal and not run.may_return:
                return LogPage((), offset, ended=True)
            if not await _is_set_by(changed, deadline):
                return LogPage((), offset, ended=False)

    async def metrics(self, run_id: str) -> tuple[Metric, ...]:
        """Return the run's metrics by name and step. Raises `NotFoundError`."""
        return await self._table.metrics(run_id)

    async def operator_hits(
        self, run_id: str, behind: int = 0, limit: int = 100, wait: float = 0.0
    ) -> tuple[OperatorHit, ...]:
        """Return at most `limit` hits of breakpoints on operators behind the one with the number `behind`.

        With `wait` seconds nothing is returned only when the run has ended or that time is over. Raises `NotFoundError`.
        """
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            changed = self._active.change(run_id)
            run = await self._table.get(run_id)
            hits = await self._hits.behind(run_id, behind, limit)
            if hits or run.state.is_terminal or not await _is_set_by(changed, deadline):
                return hits

    async def operator_stops(self, run_id: str) -> tuple[OperatorStop, ...]:
        """Return the operators at which a run waits now. Raises `NotFoundError`."""
        await self._table.get(run_id)
        return await self._stops.of_run(run_id)

    async def note_replaced(self, run_id: str, stop: int, tensor: int, summary: TensorSummary) -> None:
        """Keep the statistics of a tensor that was replaced at a stop."""
        await self._stops.note_replaced(run_id, stop, tensor, summary)

    async def operator_matches(self, run_id: str) -> tuple[OperatorsMatched, ...]:
        """Return what the breakpoints on operators of a run have found to stop at, per model."""
        return await self._stops.matches(run_id)

    async def file(self, run_id: str, name: str) -> tuple[RunFile, Path]:
        """Return a file that the script reported and where its bytes are. Raises `NotFoundError`."""
        run = await self._table.get(run_id)
        for file in run.files:
            if file.name == name and file.is_received:
                return file, await asyncio.to_thread(self._blobs.open_path, file.sha256)
        known = any(file.name == name for file in run.files)
        raise NotFoundError(
            f"The bytes of {name[:100]!r} have not arrived from the device."
            if known
            else f"Run {run_id} has reported no file {name[:100]!r}.",
            hint="" if known else f"`edgeloop runs --json` lists the files of {run_id}.",
        )

    def _device(self, wanted: str | None) -> PairedDevice:
        paired = self._registry.list()
        if wanted is None:
            linked = [device for device in paired if self._commands.is_linked(device.id)]
            return _only(
                linked,
                DeviceUnavailableError(
                    "No device is linked.",
                    hint="`edgeloop device virtual --allow` starts one here; `edgeloop pair` pairs a phone.",
                ),
                lambda names: InvalidInputError(
                    f"{len(linked)} devices are linked: {names}.", hint="Choose one with `--device`."
                ),
            )
        same_name = [device for device in paired if device.info.name == wanted]
        found = _only(
            [device for device in paired if device.id == wanted] or same_name,
            NotFoundError(f"No paired device is called {wanted[:64]!r}.", hint="`edgeloop devices` lists them."),
            lambda names: InvalidInputError(f"Several devices are called that: {names}.", hint="Choose one by its id."),
        )
        if not self._commands.is_linked(found.id):
            raise DeviceUnavailableError(
                f"The device {found.info.name} is paired but not linked now.",
                hint="Open the edgeloop app on it; a virtual one starts with `edgeloop device virtual --allow`.",
            )
        return found


def _only(found: list[PairedDevice], none: Exception, several: Callable[[str], Exception]) -> PairedDevice:
    if not found:
        raise none
    if len(found) > 1:
        raise several(", ".join(f"{device.info.name} ({device.id})" for device in found))
    return found[0]


async def _is_set_by(event: asyncio.Event, deadline: float) -> bool:
    """Wait for `event`; return False when the loop's time reaches `deadline` first."""
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _lines(payload: StoredPayload) -> list[LogLine]:
    """Return the lines of a record; what a device sends instead of one is shown as such, and so is a gap."""
    if payload.is_gap:
        gap = decode_json(Gap, payload.payload, max_bytes=MAX_PAYLOAD)
        return [LogLine(gap.until_ns, "system", describe_gap(gap))]
    lines = []
    for text in payload.payload.split(b"\n"):
        if not text:
            continue
        try:
            lines.append(decode_json(LogLine, text, max_bytes=MAX_PAYLOAD))
        except MessageError as error:
            lines.append(LogLine(0, "system", f"(a line that cannot be read: {error.message})"[:1000]))
    return lines
