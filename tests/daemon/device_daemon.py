"""The part of the daemon that serves devices, for tests: real database, real blobs, real port on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from blockbuster import blockbuster_ctx
from daemon.device_peer import SECONDS, Identity, pair

from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.devices.devices import DeviceServices, open_devices
from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.messages import HEARTBEAT_SECONDS


@dataclass(frozen=True)
class DeviceDaemon(DeviceServices):
    """The services, what they stand on, and one workspace."""

    database: Database
    blobs: BlobStore
    workspace: RunWorkspace

    @property
    def port(self) -> int:
        assert self.listener.port is not None
        return self.listener.port

    async def pair(self, name: str = "phone") -> Identity:
        """Pair a device by QR code."""
        return await pair((await self.pairing.open()).offer, name=name)

    async def unlinked(self) -> None:
        """Wait until no device is linked."""
        async with asyncio.timeout(SECONDS):
            while any(device.is_linked for device in self.devices.list()):  # noqa: ASYNC110 - nothing outside hears of it
                await asyncio.sleep(0.01)


class ManualClock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def device_daemon(
    home: Path,
    *,
    port: int | None = None,
    vanish_seconds: float = 30.0,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    quotas: Quotas | None = None,
    clock: Callable[[], float] = time.monotonic,
    include: tuple[str, ...] = (),
) -> AsyncIterator[DeviceDaemon]:
    """Run the part below `home`; its workspace `w1` is `home/workspace`. A call of it that blocks the event loop fails."""
    folders = Folders(home / "state")
    await asyncio.to_thread(folders.create)
    root = home / "workspace"
    root.mkdir(exist_ok=True)
    blobs = await asyncio.to_thread(BlobStore, folders.blobs)
    with blockbuster_ctx("edgeloop_daemon"):
        async with open_database(folders.database) as database:
            await database.write(
                lambda db: db.execute(
                    "insert or ignore into workspaces (id, path, name, opened_at) values ('w1', ?, 'work', 0)",
                    [str(root)],
                )
            )
            async with open_devices(
                folders,
                database,
                blobs,
                host_name="host",
                host="127.0.0.1",
                port=port,
                vanish_seconds=vanish_seconds,
                heartbeat_seconds=heartbeat_seconds,
                quotas=quotas,
                clock=clock,
            ) as services:
                yield DeviceDaemon(
                    services.devices,
                    services.pairing,
                    services.runs,
                    services.channels,
                    services.listener,
                    services.discovery,
                    database,
                    blobs,
                    RunWorkspace("w1", root, include, name="work"),
                )
