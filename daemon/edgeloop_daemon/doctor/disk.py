"""Room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, ok, problem, warning
from edgeloop_daemon.store.folders import Folders

GIB = 1024**3
ENOUGH = 2 * GIB
TOO_LITTLE = GIB // 5


def check_disk(folders: Folders, *, enough: int = ENOUGH, too_little: int = TOO_LITTLE) -> Finding:
    """Tell how much room there is for state, and how much of it blobs and jobs take. Limits are in bytes."""
    place = next(folder for folder in (folders.root, *folders.root.parents) if folder.exists())
    usage = shutil.disk_usage(place)
    used = f"blobs {_size(_bytes_below(folders.blobs))}, jobs {_size(_bytes_below(folders.jobs))}"
    found = f"{_size(usage.free)} of {_size(usage.total)} free; {used}"
    remedy = "Make room, or move the state folder to a larger disk (EDGELOOP_HOME)."
    if usage.free < too_little:
        return problem(f"The disk is full: {found}.", remedy)
    return warning(f"The disk is nearly full: {found}.", remedy) if usage.free < enough else ok(found)


def _bytes_below(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path | str) -> Iterator[int]:
    """Yield the sizes of the files below a folder; what vanishes or may not be read meanwhile counts as nothing."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)
            else:
                yield entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
