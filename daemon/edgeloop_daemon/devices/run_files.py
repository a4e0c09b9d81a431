"""The files of the runs that have not ended: what their devices may read, and what they have announced and brought."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set

from edgeloop_daemon.devices.active_run import ActiveRun
from edgeloop_daemon.devices.run_table import RunTable
from edgeloop_daemon.store.blobs import BlobStore


class RunFiles:
    """The files, by their hashes. `on_device` returns the runs of a device that have not ended."""

    def __init__(self, table: RunTable, blobs: BlobStore, on_device: Callable[[str], tuple[ActiveRun, ...]]) -> None:
        self._table = table
        self._blobs = blobs
        self._on_device = on_device

    def may_read(self, device_id: str, sha256: str) -> bool:
        """Return whether a blob is part of a run of this device."""
        return any(sha256 in active.blobs for active in self._on_device(device_id))

    def announced_size(self, device_id: str, sha256: str) -> int | None:
        """Return the size in bytes of a file that the device has announced in a run, or None."""
        for active in self._on_device(device_id):
            for announced, size in active.reported.files.values():
                if announced == sha256:
                    return size
        return None

    def has_received(self, device_id: str, sha256: str) -> bool:
        """Return whether the bytes of an announced file came from this device, or went to it before."""
        return any(sha256 in active.received or sha256 in active.blobs for active in self._on_device(device_id))

    async def file_received(self, device_id: str, sha256: str) -> None:
        """The bytes of an announced file are in the blob store."""
        runs = self._on_device(device_id)
        await self._table.file_received(tuple(active.id for active in runs), sha256)
        for active in runs:
            active.received.add(sha256)
            active.notify()

    async def announced(self, active: ActiveRun, files: Set[str]) -> None:
        """A run has announced files."""
        for sha256 in files:
            # It came from here, or another run of the device has brought it: the device is not asked for it again.
            if self.has_received(active.device, sha256):
                await self._table.file_received((active.id,), sha256)
                active.received.add(sha256)

    async def drop_partial(self, active: ActiveRun) -> None:
        """Forget what has come of the files of an ended run that are not whole, unless another run announces them too."""
        announced = {sha256 for sha256, _ in active.reported.files.values()}
        lost = {sha256 for sha256 in announced - active.received if self.announced_size(active.device, sha256) is None}

        def drop() -> None:
            for sha256 in lost:
                self._blobs.partial(sha256, active.device).unlink(missing_ok=True)

        await asyncio.to_thread(drop)
