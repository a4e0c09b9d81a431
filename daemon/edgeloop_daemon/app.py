"""The composition root: the one place where the daemon's parts are made and wired together."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeloop import trial
from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.device_runs import DeviceRuns
from edgeloop_daemon.debugging.live_breakpoints import LiveBreakpoints
from edgeloop_daemon.debugging.operators import operator_extension
from edgeloop_daemon.debugging.sessions import open_debugging
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.devices.devices import open_devices
from edgeloop_daemon.devices.operator_control import OperatorControl
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.doctor.checks import Examination, examine
from edgeloop_daemon.doctor.finding import FailedPlugin, RunningDaemon, Subject
from edgeloop_daemon.doctor.network_view import network_view
from edgeloop_daemon.events.event_log import open_event_log, record_event
from edgeloop_daemon.events.kinds import DaemonStarted, DaemonStopped, Occurrence
from edgeloop_daemon.http.bench_routes import bench_routes
from edgeloop_daemon.http.breakpoint_routes import breakpoint_routes
from edgeloop_daemon.http.check_routes import check_routes
from edgeloop_daemon.http.daemon_routes import Status, daemon_routes
from edgeloop_daemon.http.debug_routes import debug_routes
from edgeloop_daemon.http.device_routes import device_routes
from edgeloop_daemon.http.event_routes import event_routes
from edgeloop_daemon.http.idempotency import IdempotencyKeys
from edgeloop_daemon.http.job_routes import job_routes
from edgeloop_daemon.http.job_run_routes import job_run_routes
from edgeloop_daemon.http.named_tokens import open_named_tokens
from edgeloop_daemon.http.operator_routes import operator_routes
from edgeloop_daemon.http.plugin_routes import plugin_routes
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.run_routes import run_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.storage_routes import storage_routes
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.token_routes import token_routes
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.http.trace_routes import trace_routes
from edgeloop_daemon.http.workspace_routes import workspace_routes
from edgeloop_daemon.jobs.job import Job
from edgeloop_daemon.jobs.job_doors import JobDoors
from edgeloop_daemon.jobs.jobs import open_jobs
from edgeloop_daemon.passed_trials import PassedTrials
from edgeloop_daemon.plugins import installed_plugins, load_plugins
from edgeloop_daemon.retention.leftovers import TrainingLeftovers
from edgeloop_daemon.retention.retention import open_retention
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.files import write_atomically
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared import __version__, process_lock
from edgeloop_shared.checks import Check
from edgeloop_shared.codec import encode
from edgeloop_shared.errors import ConflictError, StorageError

# Whoever started the daemon has its first answer by then, and phones are looked for after it.
_FIRST_ANSWER_SECONDS = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the daemon listens.

    A `port` of 0 is any free one; a `device_host` of None means all interfaces; a `device_port` of None is the remembered one.
    A plugin that takes more than `plugin_seconds` to load is left out. Without `mdns` phones are not looked for, whatever the
    user's setting says.
    """

    port: int = 0
    device_host: str | None = None
    device_port: int | None = None
    plugin_seconds: float = trial.SECONDS
    mdns: bool = True


async def run_daemon(folders: Folders, options: Options) -> None:
    """Serve until a signal or a shutdown request. Raises `ConflictError` when another daemon has the state folder."""
    with process_lock.held(folders.lock) as is_ours:
        if not is_ours:
            raise ConflictError(f"Another edgeloop daemon uses {folders.root}.", hint="`edgeloop status` shows it.")
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with _daemon(folders, options, stop):
            # What there is by now stays: collections look at what comes later alone, which keeps their pauses short.
            gc.freeze()
            gc.enable()
            _log.info("edgeloop %s serves %s", __version__, folders.root)
            await stop.wait()
        _log.info("Stopped")


async def _note(database: Database, occurrence: Occurrence) -> None:
    """Record an event; that it cannot be stored keeps the daemon neither from starting nor from stopping."""
    try:
        await database.write(lambda db: record_event(db, occurrence))
    except StorageError as error:
        _log.warning("An event is not recorded: %s", error)


@asynccontextmanager
async def _daemon(folders: Folders, options: Options, stop: asyncio.Event) -> AsyncIterator[None]:
    """Make all parts, serve, and tell clients where, for the block."""
    started_at = time.time()
    plugins = await asyncio.to_thread(
        load_plugins,
        installed_plugins(),
        disabled=DisabledPlugins(folders.disabled_plugins),
        passed=PassedTrials(folders.passed_trials),
        seconds=options.plugin_seconds,
    )
    plugins.write_declarations(folders.declarations)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(folders.database))
        log = await stack.enter_async_context(open_event_log(database))
        await _note(database, DaemonStarted(__version__))
        stack.push_async_callback(_note, database, DaemonStopped())
        workspaces = Workspaces(database, plugins)
        blobs = BlobStore(folders.blobs)
        devices = await stack.enter_async_context(
            open_devices(
                folders, database, blobs, host=options.device_host, port=options.device_port, mdns=options.mdns
            )
        )
        breakpoints, control = Breakpoints(database), OperatorControl(devices.channels)
        live = LiveBreakpoints(breakpoints, workspaces, devices.runs, control)
        await stack.enter_async_context(live.telling())
        tokens, streams = Tokens(), Streams()
        doors = JobDoors(tokens, devices.runs.cancel)
        jobs = await stack.enter_async_context(open_jobs(folders.jobs, database, doors=doors))
        leftovers = TrainingLeftovers(folders.jobs, plugins, workspaces)
        retention = await stack.enter_async_context(open_retention(folders, database, blobs, leftovers))
        named = await stack.enter_async_context(open_named_tokens(database, tokens, streams))
        api_port = options.port

        def status() -> Status:
            return Status(
                version=__version__,
                pid=os.getpid(),
                started_at=started_at,
                api_port=api_port,
                device_port=devices.listener.port,
                device_addresses=devices.listener.addresses,
                home=str(folders.root),
                log=str(folders.daemon_log),
                database_problem=None if database.problem is None else str(database.problem),
            )

        one_at_a_time = asyncio.Lock()

        async def examination() -> Examination:
            running = RunningDaemon(
                version=__version__,
                pid=os.getpid(),
                api_port=api_port,
                device_port=devices.listener.port,
                device_addresses=devices.listener.addresses,
                failed_plugins=tuple(
                    FailedPlugin(one.name, one.error) for one in plugins.listed() if one.state == "failed"
                ),
                linked=frozenset(device.id for device in devices.devices.list() if device.is_linked),
                network=network_view(encode(devices.devices.list()), encode(devices.discovery.nearby())),
            )
            async with one_at_a_time:
                return await asyncio.to_thread(examine, Subject(folders, running))

        async def run_workspace(workspace: str) -> RunWorkspace:
            trusted = await workspaces.require_trusted(workspace, "running a task")
            settings = await workspaces.settings(trusted)
            return RunWorkspace(
                trusted.id,
                trusted.folder,
                settings.run.include,
                settings.run.device,
                settings.run.memory_mb,
                settings.debug.lost_link_seconds,
                trusted.name,
            )

        async def workspace_around(folder: Path) -> RunWorkspace:
            return await run_workspace((await workspaces.open_around(folder)).id)

        sessions = await stack.enter_async_context(
            open_debugging(
                database,
                breakpoints,
                DeviceRuns(devices.runs, breakpoints),
                devices.channels,
                workspace_around,
                (operator_extension(devices.runs, live, control),),
            )
        )

        async def checks_of(workspace: str) -> Mapping[str, Check]:
            return (await workspaces.settings(await workspaces.get(workspace))).check

        async def work_at(location: str) -> Job | Run:
            _, collection, name = location.split("/")
            return await (jobs.get(name) if collection == "jobs" else devices.runs.get(name))

        async def shut_down(stop_jobs: bool) -> None:
            if stop_jobs:
                await asyncio.gather(jobs.stop_all(), devices.runs.stop_all())
            stop.set()

        routes: tuple[Route, ...] = (
            *daemon_routes(status, shut_down, examination),
            *plugin_routes(plugins, workspaces, jobs),
            *workspace_routes(workspaces),
            *job_routes(jobs, streams),
            *job_run_routes(jobs, doors, devices.runs, run_workspace),
            *device_routes(devices.devices, devices.pairing, devices.discovery),
            *event_routes(log, jobs, devices.runs, streams),
            *run_routes(devices.runs, run_workspace, breakpoints, streams),
            *trace_routes(devices.runs, TraceStore(database), streams),
            *operator_routes(devices.runs, control, run_workspace),
            *bench_routes(devices.runs, run_workspace),
            *check_routes(devices.runs, run_workspace, checks_of, lambda device: devices.devices.get(device).info),
            *breakpoint_routes(breakpoints, workspaces, (live.changed, sessions.breakpoints_changed)),
            *debug_routes(sessions, run_workspace, streams),
            *token_routes(named),
            *storage_routes(retention),
        )
        api_port = await stack.enter_async_context(
            local_api(routes, tokens, options.port, streams=streams, keys=IdempotencyKeys(database, work_at))
        )
        await asyncio.to_thread(doors.announce, api_port)
        runtime = {"pid": os.getpid(), "port": api_port, "token": tokens.issue("runtime file")}
        write_atomically(folders.runtime, json.dumps(runtime))
        stack.callback(folders.runtime.unlink, missing_ok=True)
        beginning = asyncio.get_running_loop().call_later(_FIRST_ANSWER_SECONDS, devices.discovery.begin)
        stack.callback(beginning.cancel)
        yield
