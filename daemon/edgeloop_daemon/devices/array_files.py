"""Arrays for tensors of a run: `.npy` files of its workspace."""

from __future__ import annotations

from pathlib import Path

from edgeloop_daemon.devices.selection import bundle_path, is_file
from edgeloop_shared.errors import BundleError, NotFoundError, TooLargeError
from edgeloop_shared.operator_control import MAX_ARRAY_BYTES


def read_array_file(root: Path, name: str) -> bytes:
    """Return the bytes of the file `name` of the workspace at `root`. Blocks.

    Raises `BundleError` for one outside of it, `NotFoundError` and `TooLargeError`.
    """
    path = root / bundle_path(root.resolve(), name, "file")
    if not is_file(path):
        raise NotFoundError(f"There is no file {name[:200]} in the workspace {root}.", hint="numpy.save writes one.")
    if not path.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"{name[:200]} is a link that leaves the workspace.", hint="Copy the file in.")
    if (size := path.stat().st_size) > MAX_ARRAY_BYTES:
        raise TooLargeError(f"{name[:200]} has {size} bytes, and the limit is {MAX_ARRAY_BYTES}.")
    return path.read_bytes()
