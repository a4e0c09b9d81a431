"""What the disk and the database refuse, as errors that say what to do."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

from edgeloop_shared.errors import EdgeloopError, StorageBusyError, StorageDamagedError, StorageError, StorageFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NO_ROOM = 1024 * 1024  # bytes: SQLite reports a full disk as an I/O error where it extends a mapped file
ROOM_HINT = "Make room (`edgeloop prune` removes old jobs and runs), then try again; nothing that is stored was harmed."


def disk_failure(error: OSError) -> EdgeloopError | None:
    """Return the error for a disk that takes no more, or None when `error` is something else."""
    if error.errno not in _FULL:
        return None
    where = f" for {error.filename}" if error.filename else ""
    return StorageFullError(f"There is no room left on the disk{where}: {os.strerror(error.errno)}.", hint=ROOM_HINT)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether `error` says that the file is no sound database."""
    return _primary(error) in _DAMAGED


def database_failure(error: sqlite3.Error, path: Path) -> StorageError | None:
    """Return the error for a database at `path` that cannot work now, or None for a mistake in a statement."""
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _free(path) < _NO_ROOM):
        return StorageFullError(f"There is no room left on the disk for the database {path}.", hint=ROOM_HINT)
    if code in _BUSY:
        return StorageBusyError(
            f"Another program keeps the database {path} locked.",
            hint="Close what has it open (a database browser, a backup), then try again.",
        )
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(
            f"The database {path} cannot be used: {error}.", hint="Check the disk and the rights on the file."
        )
    return None


def damaged(path: Path, reason: str, copy: Path | None = None, *, is_readable: bool = True) -> StorageDamagedError:
    """Return the error of a damaged database; `copy` is where it is kept."""
    kept = f" A copy is kept as {copy.name}." if copy is not None else ""
    effect = "so nothing can be written to it" if is_readable else "and nothing of it can be read"
    hint = "What can still be read is shown. `edgeloop down`, then put" if is_readable else "Put"
    return StorageDamagedError(
        f"The database {path} is damaged ({reason}), {effect}.{kept}",
        hint=f"{hint} a backup in its place, or move the file away to begin with an empty one.",
        details={"path": str(path), **({"copy": str(copy)} if copy is not None else {})},
    )


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 0
