"""The database file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, ok, problem, warning
from edgeloop_daemon.doctor.stored import opened
from edgeloop_daemon.store.applied_migrations import applied_migrations
from edgeloop_daemon.store.migrations import migrations

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def check_database(path: Path) -> Finding:
    """Tell whether SQLite finds it whole."""
    if not path.exists():
        return ok("none yet: the first daemon makes it")
    rescue = f"Stop the daemon, keep a copy of {path}, then try `sqlite3 FILE .recover`, or move it away to begin anew."
    try:
        with opened(path) as connection:
            said = [str(row[0]) for row in connection.execute("pragma quick_check(3)")]
            newer = set(applied_migrations(connection)).difference(step.__name__ for step in migrations)
            count = connection.execute("select count(*) from jobs").fetchone()[0]
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _BUSY:
            return warning(
                "Another program keeps the database locked.", f"See which one: `fuser {path}`; end it if it hangs."
            )
        return problem(f"The database cannot be read: {error}.", rescue)
    if said != ["ok"]:
        return problem(f"The database is damaged: {said[0].splitlines()[0]}.", rescue)
    if newer:
        return problem(
            f"It was written by a newer edgeloop: it has the step {max(newer)}.",
            "Update edgeloop, or name another state folder with EDGELOOP_HOME.",
        )
    return ok(f"whole; {path.stat().st_size / 1e6:.1f} MB, {count} job{'' if count == 1 else 's'}")
