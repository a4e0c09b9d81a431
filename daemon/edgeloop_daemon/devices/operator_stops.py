"""Runs that wait at an operator, and what breakpoints on operators have found to stop at: the words of their devices."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace

from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import RunPaused, RunResumed
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode_json, encode_json, members, printable
from edgeloop_shared.errors import TooLargeError
from edgeloop_shared.operator_hits import TensorSummary
from edgeloop_shared.operator_stops import OperatorResumed, OperatorsMatched, OperatorStopped, matched_words
from edgeloop_shared.run_events import MAX_EVENT_BYTES

MAX_STOPS = 256  # of one run at a time: each is a thread
MAX_MATCHES = 1000  # of one run: breakpoints times models
_WAITING = "state in ('queued', 'preparing', 'running')"


@dataclass(frozen=True)
class OperatorStop(OperatorStopped):
    """A stop at which a run waits, since `begun_at` (seconds since the UNIX epoch)."""

    begun_at: float = field(kw_only=True)


def insert_stop(db: Tables, run_id: str, stopped: OperatorStopped) -> None:
    """Keep that a run waits, and tell of it. Raises `TooLargeError` where it waits at too many operators."""
    workspace, count = db.execute(
        "select workspace, (select count(*) from operator_stops where run = id) from runs where id = ?", [run_id]
    ).fetchone()
    if count >= MAX_STOPS:
        raise TooLargeError(f"The run waits at more than {MAX_STOPS} operators at once, so it was ended.")
    db.execute(
        "insert or replace into operator_stops (run, stop, stopped_json, begun_at) values (?, ?, ?, ?)",
        [run_id, stopped.stop, encode_json(stopped).decode(), time.time()],
    )
    record_event(db, RunPaused(run_id, stopped.stop, stopped.hit.operator[:200]), workspace)


def remove_stop(db: Tables, run_id: str, resumed: OperatorResumed) -> None:
    """Keep that a run does not wait any more, and tell of it."""
    found = db.execute(
        "delete from operator_stops where run = ?1 and stop = ?2 returning (select workspace from runs where id = ?1)",
        [run_id, resumed.stop],
    ).fetchone()
    if found is not None:
        record_event(db, RunResumed(run_id, resumed.stop, resumed.answer), found[0])


def paused_words(db: Tables, run_id: str) -> str | None:
    """Return for a reader at which operators a run waits, or None when it does at none."""
    sql = "select stopped_json from operator_stops where run = ? order by stop limit 2"
    texts = [text for (text,) in db.execute(sql, [run_id])]
    if not texts:
        return None
    first = decode_json(OperatorStopped, texts[0], max_bytes=MAX_EVENT_BYTES)
    return f"paused at {printable(first.hit.operator, 60)}" + (", and at others" if len(texts) > 1 else "")


def note_matches(db: Tables, run_id: str, matched: OperatorsMatched) -> None:
    """Keep what a breakpoint has found, with the breakpoint itself where the workspace keeps it.

    A model that has no such operator hides no other that has some.
    """
    (count,) = db.execute("select count(*) from operator_matches where run = ?", [run_id]).fetchone()
    if count < MAX_MATCHES:
        db.execute(
            "insert or replace into operator_matches (run, breakpoint, model, matched_json) values (?, ?, ?, ?)",
            [run_id, matched.id, matched.model, encode_json(matched).decode()],
        )
    (known,) = db.execute(
        "select verification_json from breakpoints where id = ?1 and workspace = (select workspace from runs where id = ?2)",
        [matched.id, run_id],
    ).fetchone() or (None,)
    before = json.loads(known) if known else {}
    if not matched.count and before.get("session") == run_id and before.get("state") == "verified":
        return
    verification = {
        "session": run_id,
        "state": "verified" if matched.count else "no-code",
        "line": None,
        "message": matched_words(matched)[:1000],
        "time": time.time(),
    }
    db.execute(
        "update breakpoints set verification_json = ?3"
        " where id = ?1 and workspace = (select workspace from runs where id = ?2)",
        [matched.id, run_id, json.dumps(verification)],
    )


class OperatorStops:
    """The stops of all runs that have not ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_run(self, run_id: str) -> tuple[OperatorStop, ...]:
        """Return the stops at which a run waits now, in their order."""
        rows = await self._database.read(
            lambda db: db.execute(
                "select stopped_json, begun_at from operator_stops join runs on runs.id = run"  # noqa: S608 - our own words
                f" where run = ? and {_WAITING} order by stop",
                [run_id],
            ).fetchall()
        )
        return tuple(
            OperatorStop(**members(decode_json(OperatorStopped, text, max_bytes=MAX_EVENT_BYTES)), begun_at=begun_at)
            for text, begun_at in rows
        )

    async def note_replaced(self, run_id: str, stop: int, tensor: int, summary: TensorSummary) -> None:
        """Keep the statistics of a tensor that was replaced: of an input before the operator, of an output after it."""

        def write(db: Tables) -> None:
            sql = "select stopped_json from operator_stops where run = ? and stop = ?"
            row = db.execute(sql, [run_id, stop]).fetchone()
            if row is None:  # it has gone on
                return
            told = decode_json(OperatorStopped, row[0], max_bytes=MAX_EVENT_BYTES)
            is_input = told.hit.phase == "before"
            tensors = list(told.inputs if is_input else told.outputs)
            tensors[tensor] = summary
            changed = replace(told, inputs=tuple(tensors)) if is_input else replace(told, outputs=tuple(tensors))
            sql = "update operator_stops set stopped_json = ? where run = ? and stop = ?"
            db.execute(sql, [encode_json(changed).decode(), run_id, stop])

        await self._database.write(write)

    async def matches(self, run_id: str) -> tuple[OperatorsMatched, ...]:
        """Return what the breakpoints of a run have found to stop at, per model."""
        sql = "select matched_json from operator_matches where run = ? order by breakpoint, model"
        rows = await self._database.read(lambda db: db.execute(sql, [run_id]).fetchall())
        return tuple(decode_json(OperatorsMatched, text, max_bytes=MAX_EVENT_BYTES) for (text,) in rows)
