"""The composition root: the one place where the daemon's parts are made and wired together."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edgeloop_daemon.http.daemon_routes import Status, daemon_routes
from edgeloop_daemon.http.job_routes import job_routes
from edgeloop_daemon.http.plugin_routes import plugin_routes
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.http.workspace_routes import workspace_routes
from edgeloop_daemon.jobs.jobs import open_jobs
from edgeloop_daemon.plugins import installed_plugins, load_plugins
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.store.files import write_atomically
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared import __version__, process_lock
from edgeloop_shared.errors import ConflictError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the daemon listens.

    A `port` of 0 is any free one; a `device_host` of None means all interfaces; a `device_port` of None is the remembered one.
    """

    port: int = 0
    device_host: str | None = None
    device_port: int | None = None


async def run_daemon(folders: Folders, options: Options) -> None:
    """Serve until a signal or a shutdown request. Raises `ConflictError` when another daemon has the state folder."""
    with process_lock.held(folders.lock) as is_ours:
        if not is_ours:
            raise ConflictError(f"Another edgeloop daemon uses {folders.root}.", hint="`edgeloop status` shows it.")
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with _daemon(folders, options, stop):
            _log.info("edgeloop %s serves %s", __version__, folders.root)
            await stop.wait()
        _log.info("Stopped")


@asynccontextmanager
async def _daemon(folders: Folders, options: Options, stop: asyncio.Event) -> AsyncIterator[None]:
    """Make all parts, serve, and tell clients where, for the block."""
    started_at = time.time()
    plugins = await asyncio.to_thread(load_plugins, installed_plugins())
    plugins.write_declarations(folders.declarations)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(folders.database))
        jobs = await stack.enter_async_context(open_jobs(folders.jobs, database))
        workspaces = Workspaces(database, plugins)
        tokens = Tokens()
        api_port = options.port

        def status() -> Status:
            return Status(
                version=__version__,
                pid=os.getpid(),
                started_at=started_at,
                api_port=api_port,
                device_port=None,
                home=str(folders.root),
                log=str(folders.daemon_log),
            )

        async def shut_down(stop_jobs: bool) -> None:
            if stop_jobs:
                await jobs.stop_all()
            stop.set()

        routes: tuple[Route, ...] = (
            *daemon_routes(status, shut_down),
            *plugin_routes(plugins, workspaces, jobs),
            *workspace_routes(workspaces),
            *job_routes(jobs),
        )
        api_port = await stack.enter_async_context(local_api(routes, tokens, options.port))
        runtime = {"pid": os.getpid(), "port": api_port, "token": tokens.issue("runtime file")}
        write_atomically(folders.runtime, json.dumps(runtime))
        stack.callback(folders.runtime.unlink, missing_ok=True)
        yield
