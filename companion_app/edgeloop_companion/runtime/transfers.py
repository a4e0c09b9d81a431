"""What a run needs of whoever carries blobs between the daemon and this device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgeloop_companion.runtime.storage import BlobStore


class BlobTransfers(Protocol):
    """Brings blobs to the device and back, over however many links it takes."""

    @property
    def store(self) -> BlobStore:
        """Where fetched blobs lie, and those to upload."""

    async def fetch(self, sha256: str, size: int, on_bytes: Callable[[int], None]) -> None:
        """Bring a blob into the store. Raises `EdgeloopError` when that is impossible."""

    async def upload(self, sha256: str, size: int) -> None:
        """Send a blob of the store. Raises `EdgeloopError` when that is impossible."""
