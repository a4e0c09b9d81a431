"""What the daemon remembers beside its records: single values by name."""

from __future__ import annotations

import json
from typing import Any

from edgeloop_daemon.store.tables import Tables


def read_setting(db: Tables, name: str) -> Any:
    """Return the value, or None when there is none."""
    rows = list(db.query("select value_json from settings where name = ?", [name]))
    return json.loads(rows[0]["value_json"]) if rows else None


def write_setting(db: Tables, name: str, value: Any) -> None:
    """Remember a value, in the writer's transaction."""
    sql = "insert into settings (name, value_json) values (?, ?)"
    db.execute(f"{sql} on conflict (name) do update set value_json = excluded.value_json", [name, json.dumps(value)])
