"""Bundles on the device: the manifest is checked before anything else, and the files are laid out in a task's folder."""

from __future__ import annotations

from pathlib import Path

from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import BundleError, MessageError


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


def lay_out(manifest: BundleManifest, store: BlobStore, folder: Path) -> None:
    """Copy every file of `manifest` from `store` to its place below the fresh `folder`. Blocks; for a worker thread."""
    for file in manifest.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.copy_to(file.sha256, target, file.mode)
