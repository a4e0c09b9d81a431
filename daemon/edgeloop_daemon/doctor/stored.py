"""What the database holds, read without writing to it and without the daemon."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgeloop_daemon.doctor.finding import NotCheckedError

_WAIT_SECONDS = 2


@dataclass(frozen=True)
class StoredDevice:
    """A paired device. `last_seen` is in seconds since the epoch."""

    id: str
    name: str
    app_version: str
    last_seen: float | None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database read-only for the block. Raises `sqlite3.Error`, and `NotCheckedError` when there is none."""
    if not path.exists():
        raise NotCheckedError("nothing is stored yet")
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def rows(path: Path, query: str) -> Sequence[Any]:
    """Return the rows of a query. Raises `NotCheckedError` when the database cannot be read, which `database` tells."""
    try:
        with opened(path) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.Error as error:
        raise NotCheckedError(f"the database cannot be read ({error})") from None


def devices(path: Path) -> tuple[StoredDevice, ...]:
    """Return the paired devices, the oldest first. Raises `NotCheckedError`."""
    query = "select id, info_json, last_seen from devices where revoked_at is null order by paired_at"
    found = []
    for device, text, last_seen in rows(path, query):
        info = json.loads(text)
        found.append(StoredDevice(device, str(info.get("name", "")), str(info.get("app_version", "")), last_seen))
    return tuple(found)


def remembered_port(path: Path) -> int | None:
    """Return the port that paired phones dial, or None. Raises `NotCheckedError`."""
    found = rows(path, "select value_json from settings where name = 'device_port'")
    value = json.loads(found[0][0]) if found else None
    return value if isinstance(value, int) and 0 < value < 65536 else None


def newest_time(path: Path) -> float | None:
    """Return the latest moment that anything stored was made or seen, in seconds since the epoch. Raises `NotCheckedError`."""
    columns = {
        "jobs": ("created_at", "started_at", "ended_at"),
        "runs": ("created_at", "started_at", "ended_at"),
        "devices": ("paired_at", "last_seen"),
        "workspaces": ("opened_at",),
    }
    found = [
        rows(path, f"select max({column}) from {table}")[0][0]  # noqa: S608 - both are names of this module
        for table, names in columns.items()
        for column in names
    ]
    return max((float(time) for time in found if time is not None), default=None)


def running_jobs(path: Path) -> tuple[str, ...]:
    """Return the ids of the jobs that are entered as running, the oldest first. Raises `NotCheckedError`."""
    return tuple(row[0] for row in rows(path, "select id from jobs where state = 'running' order by created_at"))
