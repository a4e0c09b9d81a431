"""The composition root: the one place where the daemon's parts are made and wired together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edgeloop_daemon.devices.devices import open_devices
from edgeloop_daemon.http.daemon_routes import Status, daemon_routes
from edgeloop_daemon.http.device_routes import device_routes
from edgeloop_daemon.http.job_routes import job_routes
from edgeloop_daemon.http.plugin_routes import plugin_routes
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.run_routes import run_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.http.workspace_routes import workspace_routes
from edgeloop_daemon.jobs.jobs import open_jobs
from edgeloop_daemon.plugins import Plugins, installed_plugins, load_plugins
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.store.files import write_atomically
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared import __version__, process_lock
from edgeloop_shared.errors import ConflictError


@dataclass(frozen=True)
class Options:
    """How the daemon listens. A `port` of 0 is any free one; `device_host` None means all interfaces; a `device_port` of
    None is the remembered one."""

    port: int = 0
    device_host: str | None = None
    device_port: int | None = None


async def run_daemon(folders: Folders, options: Options) -> None:
    """Serve until a signal or a shutdown request. Raises `ConflictError` when another daemon has the state folder."""
    folders.create()
    with process_lock.held(folders.lock) as is_ours:
        if not is_ours:
            raise ConflictError(f"Another edgeloop daemon uses {folders.root}.", hint="`edgeloop status` shows it.")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with _parts(folders, options, stop):
            await stop.wait()
        folders.runtime.unlink(missing_ok=True)
