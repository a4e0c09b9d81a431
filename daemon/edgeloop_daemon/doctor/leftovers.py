"""What daemons that were killed have left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, Subject, named, ok, warning
from edgeloop_shared import process_lock

OLD_SECONDS = 24 * 3600.0
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}\Z")  # as `write_atomically` names them


def check_leftovers(subject: Subject, old_seconds: float = OLD_SECONDS) -> Finding:
    """Tell which files of writes that never ended lie about, and which virtual devices run on without a daemon."""
    folders = subject.folders
    if not folders.root.exists():
        return ok("none")
    halves = [str(path.relative_to(folders.root)) for path in _half_written(folders.root, folders.jobs)]
    partial = [path for path in folders.blobs.glob("partial/*") if time.time() - path.stat().st_mtime > old_seconds]
    if halves or partial:
        shown = halves + [f"blobs/partial/{path.name[:12]}..." for path in partial]
        return warning(f"Never finished: {named(shown)}.", f"Stop the daemon and remove them below {folders.root}.")
    if subject.daemon is None and not process_lock.is_held(folders.lock):
        lonely = [lock.parent.name for lock in folders.virtual_devices.glob("*/lock") if process_lock.is_held(lock)]
        if lonely:
            return warning(
                f"Virtual devices without a daemon: {named(sorted(lonely))}.",
                "`edgeloop up` serves them again; `edgeloop down` ends them.",
            )
        if folders.runtime.exists():
            return ok("the last daemon was killed; the next one takes its work over")
    return ok("none")


def _half_written(root: Path, jobs: Path) -> Iterator[Path]:
    for folder in (root, *sorted(jobs.glob("*"))):
        for path in sorted(folder.glob(".*")):
            # A write takes milliseconds: one that is a minute old was cut off.
            if _HALF_WRITTEN.match(path.name) and time.time() - path.stat().st_mtime > 60:
                yield path
