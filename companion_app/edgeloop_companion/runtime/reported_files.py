"""Files that a script reports, as they were at that moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from edgeloop_shared.bundles import check_bundle_path
from edgeloop_shared.errors import TooLargeError
from edgeloop_task.reporting import ChannelReporter, StopAt

MAX_REPORTED_BYTES = 1024**3  # of one run: the daemon takes no more


class SnapshotReporter(ChannelReporter):
    """Copies each reported file before it says so: the script may change or remove the file right after its report."""

    def __init__(self, stream: BinaryIO, folder: Path, debugger: Callable[[], StopAt | None] | None = None) -> None:
        super().__init__(stream, debugger)
        self._folder = folder
        self._count = 0
        self._bytes = 0

    def file(self, path: Path, name: str) -> None:
        """Report a file under `name`, which obeys the rules of a bundle's paths.

        Raises `BundleError` for a name that does not, and `TooLargeError` when the run's files together exceed
        `MAX_REPORTED_BYTES`.
        """
        check_bundle_path(name)
        self._bytes += path.stat().st_size
        if self._bytes > MAX_REPORTED_BYTES:
            raise TooLargeError(
                f"The reported files are larger than {MAX_REPORTED_BYTES} bytes together; {path} was one too many.",
                hint="Report a summary of the data, or use several runs.",
                details={"limit": MAX_REPORTED_BYTES, "size": self._bytes},
            )
        self._folder.mkdir(exist_ok=True)
        self._count += 1
        copy = self._folder / str(self._count)
        shutil.copyfile(path, copy)
        super().file(copy, name)
