"""The bytes of an upload on their way to disk: written and hashed in a thread, while the next ones arrive."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgeloop_daemon.store.blobs import Digest

_PIECE = 1024 * 1024


class IncomingFile:
    """Appends to the file at `path`. `digest`, where there is one, is of all bytes in it and goes on with the new ones."""

    def __init__(self, path: Path, digest: Digest | None) -> None:
        self.digest = digest
        self._path = path
        self._pending = bytearray()
        self._writing: asyncio.Future[None] | None = None

    async def add(self, data: bytes) -> None:
        """Append `data`; waits while an earlier piece is still being written. Raises `OSError`."""
        self._pending += data
        if len(self._pending) >= _PIECE:
            await self._write()

    async def close(self) -> None:
        """Wait until everything is in the file. Raises `OSError`."""
        await self._write()
        await self._written()

    async def _write(self) -> None:
        await self._written()
        data, self._pending = self._pending, bytearray()
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._append, data)

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing})  # a cancelled upload must not leave a thread behind that still writes
            self._writing.result()

    def _append(self, data: bytearray) -> None:
        with self._path.open("ab") as file:  # which makes it, for an empty file as well
            file.write(data)
        if self.digest is not None:
            self.digest.update(data)
