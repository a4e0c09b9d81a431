"""Bundles on the device: the manifest is checked before any file is fetched, and the files are laid out in a task's folder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.runtime.transfers import BlobTransfers
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import BundleError, EdgeloopError, MessageError, StorageFullError, TransferError
from edgeloop_shared.messages import RunTask
from edgeloop_shared.run_events import TransferProgress

PROGRESS_SECONDS = 0.25
PARALLEL_TRANSFERS = 4


def read_manifest(data: bytes, script: str) -> BundleManifest:
    """Return the manifest in `data`. Raises `BundleError` when it is not a safe one or does not hold `script`."""
    try:
        manifest = decode_json(BundleManifest, data, max_bytes=MAX_MANIFEST_BYTES)
    except MessageError as error:
        raise BundleError(
            f"The bundle was refused: {error.message}",
            hint="A bundle holds plain files below the task's folder, each under one unambiguous name.",
            details=error.details,
        ) from None
    if all(file.path != script for file in manifest.files):
        raise BundleError(
            f"The bundle does not hold the script {script!r}.",
            hint="Name a script that is part of the workspace and that [run] include in edgeloop.toml covers.",
            details={"path": script},
        )
    return manifest


async def fetch_bundle(
    command: RunTask, transfers: BlobTransfers, on_progress: Callable[[TransferProgress], Awaitable[None]]
) -> BundleManifest:
    """Bring a run's manifest and those of its files into the store that are not there; `on_progress` hears of these.

    Raises `BundleError` for a manifest that is refused, `StorageFullError` before anything is fetched for which there is no
    room, and `EdgeloopError` when a blob cannot be brought.
    """
    store = transfers.store
    await transfers.fetch(command.manifest, command.manifest_bytes, lambda _: None)
    data = await asyncio.to_thread(store.path(command.manifest).read_bytes)
    manifest = await asyncio.to_thread(read_manifest, data, command.script)
    missing = await asyncio.to_thread(store.missing, manifest.sizes)
    await asyncio.to_thread(check_room, manifest, missing, store)
    total, received = sum(missing.values()), 0
    places = asyncio.Semaphore(PARALLEL_TRANSFERS)

    def count(arrived: int) -> None:
        nonlocal received
        received += arrived

    async def fetch(sha256: str, size: int) -> None:
        async with places:
            await transfers.fetch(sha256, size, count)

    async def report() -> None:
        while True:
            await on_progress(TransferProgress(received, total))
            await asyncio.sleep(PROGRESS_SECONDS)

    reporting = asyncio.create_task(report())
    try:
        async with asyncio.TaskGroup() as group:
            for sha256, size in missing.items():
                group.create_task(fetch(sha256, size))
    except* EdgeloopError as failures:
        raise _first(failures) from None
    finally:
        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting
    await on_progress(TransferProgress(received, total))
    return manifest


def check_room(manifest: BundleManifest, missing: Mapping[str, int], store: BlobStore) -> None:
    """Raise `StorageFullError` unless the device has room for the blobs that are missing and for the task's own files."""
    to_fetch = sum(size - store.partial_bytes(sha256) for sha256, size in missing.items())
    needed, free = to_fetch + sum(file.size for file in manifest.files), store.free_bytes()
    if needed > free:
        raise StorageFullError(
            f"The device has {_megabytes(free)} free, and this run needs {_megabytes(needed)}: nothing was transferred.",
            hint="Free some space on the device (the app can clear its blobs), or name fewer or smaller files under "
            "[run] include in edgeloop.toml.",
            details={"free": free, "needed": needed},
        )


def lay_out(manifest: BundleManifest, store: BlobStore, folder: Path) -> None:
    """Copy every file of `manifest` from `store` to its place below the fresh `folder`. Blocks; for a worker thread."""
    for file in manifest.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.copy_to(file.sha256, target, file.mode)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _first(failures: BaseExceptionGroup[EdgeloopError]) -> EdgeloopError:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure if isinstance(failure, EdgeloopError) else TransferError(str(failure))
