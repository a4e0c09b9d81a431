"""The hits of breakpoints on operators, as a run's device has reported them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from edgeloop_daemon.events.event_log import PROGRESS_SECONDS, record_event
from edgeloop_daemon.events.kinds import RunOperatorHit
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode_json, encode_json, members
from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.run_events import MAX_EVENT_BYTES


@dataclass(frozen=True)
class OperatorHit(OperatorHitReported):
    """A hit as it is stored; `number` counts the hits of all breakpoints of its run from 1."""

    number: int = field(kw_only=True)


@dataclass(frozen=True)
class HitCount:
    """How many hits a run has reported, and how many of them the event log knew of at `told_at` (monotonic seconds)."""

    stored: int = 0
    told: int = 0
    told_at: float = 0.0

    @property
    def is_told(self) -> bool:
        """Whether the event log knows of all."""
        return self.told == self.stored


def insert_hit(db: Tables, run_id: str, hit: OperatorHitReported, count: HitCount) -> HitCount:
    """Store a hit."""
    number = count.stored + 1
    db.execute(
        "insert into operator_hits (run, number, hit_json) values (?, ?, ?)",
        [run_id, number, encode_json(hit).decode()],
    )
    return replace(count, stored=number)


def count_hits(db: Tables, run_id: str) -> HitCount:
    """Return how many hits are stored, all of them told."""
    (stored,) = db.execute("select count(*) from operator_hits where run = ?", [run_id]).fetchone()
    return HitCount(stored, stored)


def tell_hits(db: Tables, run_id: str, count: HitCount, *, at_once: bool = False) -> HitCount:
    """Record the event that tells of the newest hit, unless it is told or (but for `at_once`) another was told just now."""
    if count.is_told or not (at_once or time.monotonic() >= count.told_at + PROGRESS_SECONDS):
        return count
    newest = db.execute(
        "select workspace, operator_hits.number, hit_json from operator_hits join runs on runs.id = run where run = ?"
        " order by operator_hits.number desc limit 1",
        [run_id],
    ).fetchone()
    if newest is not None:
        workspace, number, text = newest
        hit = decode_json(OperatorHitReported, text, max_bytes=MAX_EVENT_BYTES)
        record_event(db, RunOperatorHit(run_id, number, hit.operator[:200], hit.breakpoint[:200]), workspace)
    return replace(count, told=count.stored, told_at=time.monotonic())


class OperatorHits:
    """The hits of all runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def behind(self, run_id: str, number: int, limit: int) -> tuple[OperatorHit, ...]:
        """Return at most `limit` hits of a run, in their order, behind the one with this number (0: from the first on)."""
        rows = await self._database.read(
            lambda db: db.execute(
                "select number, hit_json from operator_hits where run = ? and number > ? order by number limit ?",
                [run_id, number, limit],
            ).fetchall()
        )
        return tuple(_hit(number, text) for number, text in rows)


def _hit(number: int, text: str) -> OperatorHit:
    return OperatorHit(**members(decode_json(OperatorHitReported, text, max_bytes=MAX_EVENT_BYTES)), number=number)
