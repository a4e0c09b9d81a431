"""The composition root: the one place where the daemon's parts are made and wired together."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock
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
