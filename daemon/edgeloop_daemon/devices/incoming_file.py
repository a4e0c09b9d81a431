"""The bytes of an upload on their way to disk: written and hashed in a thread, while the next ones arrive."""

from __future__ import annotations

from pathlib import Path

from edgeloop_daemon.store.blobs import Digest
from edgeloop_shared.write_behind import WriteBehind


class IncomingFile(WriteBehind):
    """Appends to the file at `path`. `digest`, where there is one, is of all bytes in it and goes on with the new ones."""

    def __init__(self, path: Path, digest: Digest | None) -> None:
        super().__init__(self._append)
        self.digest = digest
        self._path = path

    def _append(self, data: memoryview) -> None:
        with self._path.open("ab") as file:
            file.write(data)
        if self.digest is not None:
            self.digest.update(data)
