"""Runs whose devices were lost: they have ended for whoever waited, and go on when the device is back and still has them."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from edgeloop_daemon.devices.run_table import Unfinished, select_unfinished
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import RunReturned
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.records import Priority, stream_name


@dataclass(frozen=True)
class LostRun:
    """A run that may return. `epoch` is that of its records (None: none has come)."""

    id: str
    device: str
    script: str
    epoch: str | None


class LostRuns:
    """The runs of which the database says that they may return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_device(self, device_id: str) -> tuple[LostRun, ...]:
        """Return those that a device had, the oldest first."""
        sql = "select id, device, script from runs where may_return and device = ? order by number"

        def query(db: Tables) -> tuple[LostRun, ...]:
            rows = db.execute(sql, [device_id]).fetchall()
            return tuple(LostRun(run_id, device, script, _epoch(db, run_id)) for run_id, device, script in rows)

        return await self._database.read(query)

    async def take_up(self, run_ids: Container[str], lost: tuple[LostRun, ...]) -> tuple[Unfinished, ...]:
        """Let those of `lost` that are among `run_ids` go on from where they were, and return them."""
        wanted = [run.id for run in lost if run.id in run_ids]

        def write(db: Tables) -> tuple[Unfinished, ...]:
            found: list[Unfinished] = []
            for run_id in wanted:
                returned = db.execute(
                    "update runs set ended_at = null, error_json = null, may_return = 0, state = case"
                    " when started_at is not null then 'running' when transfer_json is not null then 'preparing'"
                    " else 'queued' end where id = ? and may_return returning workspace",
                    [run_id],
                ).fetchone()
                if returned is not None:
                    record_event(db, RunReturned(run_id), returned[0])
                    found += select_unfinished(db, "id = ?", [run_id])
            return tuple(found)

        return await self._database.write(write) if wanted else ()

    async def settle(self, run_id: str, error: EdgeloopError) -> None:
        """Note that a run will not return, and why; its outcome stays where that is known."""
        sql = (
            "update runs set may_return = 0, error_json = case"
            " when error_json ->> '$.code' = 'device-vanished' then ? else error_json end where id = ? and may_return"
        )
        values = [encode_json(error.as_dict()).decode(), run_id]
        await self._database.write(lambda db: db.execute(sql, values))


def _epoch(db: Tables, run_id: str) -> str | None:
    streams = [stream_name(run_id, priority) for priority in Priority]
    sql = f"select epoch from records where stream in ({','.join('?' * len(streams))}) limit 1"  # noqa: S608 - question marks
    row = db.execute(sql, streams).fetchone()
    return None if row is None else str(row[0])
