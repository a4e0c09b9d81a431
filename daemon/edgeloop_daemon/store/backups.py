"""Copies of the database that are kept beside it: before a migration, and of a damaged one."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

_log = logging.getLogger(__name__)


def back_up(connection: sqlite3.Connection, path: Path, suffix: str) -> Path:
    """Copy the open database to `<path>.<suffix>`, which appears as a whole, and return that path."""
    target = path.with_name(f"{path.name}.{suffix}")
    draft = path.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(draft)) as copy:
            connection.backup(copy)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def keep_damaged(path: Path) -> Path | None:
    """Copy a damaged database, byte by byte, to `<path>.damaged-<time>`; return that path, or None when there is no room.

    A copy of the same state that an earlier start has made is not made again.
    """
    status = path.stat()
    for earlier in sorted(path.parent.glob(f"{path.name}.damaged-*Z")):
        found = earlier.stat()
        if (found.st_size, found.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return earlier
    target = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    try:
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            shutil.copy2(log, f"{target}-wal")
        shutil.copy2(path, target)
        target.chmod(0o600)
    except OSError as error:
        _log.error("The damaged database could not be copied: %s", error)
        target.unlink(missing_ok=True)
        return None
    return target
