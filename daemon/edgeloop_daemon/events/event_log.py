"""The log of events: written in the transaction of the change that an event tells of, read from any cursor on.

Nobody has a queue here. Whoever follows the log reads it at its own pace, from memory while it is near the end, else from the
database; so a slow reader costs nothing, and one that comes back goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from edgeloop_daemon.events.kinds import Occurrence
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables

MAX_EVENTS = 100_000
MAX_AGE_SECONDS = 30 * 24 * 3600.0
MAX_PAGE = 1000
PROGRESS_SECONDS = 0.5
"""Progress of one job or run is told at most this often."""
_PRUNE_SECONDS = 3600.0
_RECENT = 4096
_FLOOR = "events_floor"
_COLUMNS = "cursor, time, kind, workspace, data_json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Something that has happened. `time` is in seconds since the UNIX epoch; `data` depends on the kind.

    `workspace` is None for what belongs to none: devices, pairing, tokens and the daemon itself.
    """

    cursor: int
    time: float
    kind: str
    workspace: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Reset:
    """Events behind the cursor `since` are not known any more (or it is no cursor of this log): read the state anew.

    The events that follow are those behind the cursor `resumes`.
    """

    since: int
    resumes: int


@dataclass(frozen=True)
class EventPage:
    """Events, the oldest first. `next` is the cursor to go on from; `latest` that of the newest event of all."""

    items: tuple[Event, ...]
    next: int
    latest: int
    reset: Reset | None


@dataclass(frozen=True)
class Choice:
    """Which events are wanted.

    `kinds` holds kinds (`job.failed`) and their first parts (`job`); empty means all. With a `workspace` those of it and those
    that belong to none.
    """

    kinds: tuple[str, ...] = ()
    workspace: str | None = None

    def takes(self, event: Event) -> bool:
        """Return whether the event is wanted."""
        if self.workspace is not None and event.workspace not in (None, self.workspace):
            return False
        return not self.kinds or event.kind in self.kinds or event.kind.partition(".")[0] in self.kinds


EVERYTHING = Choice()


def record_event(db: Tables, occurrence: Occurrence, workspace: str | None = None) -> None:
    """Add an event in the writer's transaction, together with the change that it tells of."""
    data = asdict(occurrence)
    subject = data[occurrence.subject] if occurrence.subject else None
    if occurrence.supersedes:
        db.execute("delete from events where subject = ? and kind = ?", [subject, occurrence.kind])
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    db.execute(
        "insert into events (time, kind, workspace, subject, data_json) values (?, ?, ?, ?, ?)",
        [time.time(), occurrence.kind, workspace, subject, text],
    )


class EventLog:
    """Reading the log, and waiting for what comes."""

    def __init__(self, database: Database, *, max_events: int, max_age_seconds: float) -> None:
        self._database = database
        self._max_events = max_events
        self._max_age_seconds = max_age_seconds
        self._seen = 0  # by the writer's thread
        self._latest = 0
        self._floor = 0  # the newest cursor that was pruned
        self._recent: deque[Event] = deque()
        self._recent_since = 0  # `_recent` holds everything behind this cursor
        self._changed = asyncio.Event()

    @property
    def latest(self) -> int:
        """The cursor of the newest event; zero when nothing has happened yet."""
        return self._latest

    async def page(self, since: int | None = None, *, limit: int = 100, choice: Choice = EVERYTHING) -> EventPage:
        """Return up to `limit` events behind the cursor `since`; None means from the oldest that is kept."""
        latest = self._latest
        start = self._floor if since is None else min(max(since, self._floor), latest)
        reset = None if since in (None, start) else Reset(since, start)
        if start >= self._recent_since:
            found = [event for event in self._behind(start) if choice.takes(event)]
        else:
            found = await self._database.read(lambda db: _select(db, start, latest, limit, choice))
        items = tuple(found[:limit])
        return EventPage(items, items[-1].cursor if len(found) >= limit else latest, latest, reset)

    async def newest(self, *, limit: int = 100, choice: Choice = EVERYTHING) -> EventPage:
        """Return the newest `limit` events, the oldest of them first."""
        latest = self._latest
        found = await self._database.read(lambda db: _select(db, self._floor, latest, limit, choice, "desc"))
        return EventPage(tuple(reversed(found)), latest, latest, None)

    async def wait(self, since: int) -> None:
        """Return once there is an event behind the cursor `since`."""
        while self._latest <= since:
            await self._changed.wait()

    def _behind(self, cursor: int) -> Iterable[Event]:
        newer = []
        for event in reversed(self._recent):
            if event.cursor <= cursor:
                break
            newer.append(event)
        return reversed(newer)

    async def _load(self) -> None:
        def query(db: Tables) -> tuple[int, int]:
            sequence = db.execute("select seq from sqlite_sequence where name = 'events'").fetchone()
            floor = db.execute("select value_json from settings where name = ?", [_FLOOR]).fetchone()
            return (sequence[0] if sequence else 0), (int(json.loads(floor[0])) if floor else 0)

        self._latest, self._floor = await self._database.read(query)
        self._seen = self._recent_since = self._latest

    def _look(self, db: Tables, loop: asyncio.AbstractEventLoop) -> None:
        """Hand what a transaction has added to the event loop. In the writer's thread, after every commit."""
        sql = f"select {_COLUMNS} from events where cursor > ? order by cursor"  # noqa: S608 - only our own columns
        rows = db.execute(sql, [self._seen]).fetchall()
        if rows:
            self._seen = rows[-1][0]
            loop.call_soon_threadsafe(self._take, [_event(row) for row in rows])

    def _take(self, events: Sequence[Event]) -> None:
        self._recent.extend(events)
        while len(self._recent) > _RECENT:
            self._recent_since = self._recent.popleft().cursor
        self._latest = events[-1].cursor
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _prune_regularly(self) -> None:
        while True:
            try:
                await self.prune()
            except Exception:
                _log.exception("Pruning the events failed; it is tried again")
            await asyncio.sleep(_PRUNE_SECONDS)

    async def prune(self) -> None:
        """Remove the oldest events beyond the bounds of number and age."""

        def change(db: Tables) -> int:
            surplus = "select cursor from events order by cursor desc limit 1 offset ?"
            # Before the first that is young enough: one of a time when the clock was wrong takes no others with it.
            young = "select coalesce(min(cursor) - 1, (select max(cursor) from events)) from events where time >= ?"
            (by_age,) = db.execute(young, [time.time() - self._max_age_seconds]).fetchone()
            by_number = db.execute(surplus, [self._max_events]).fetchone()
            floor = max(by_age or 0, by_number[0] if by_number else 0)
            if floor > self._floor:
                db.execute("delete from events where cursor <= ?", [floor])
                db.execute(
                    "insert into settings (name, value_json) values (?, ?)"
                    " on conflict (name) do update set value_json = excluded.value_json",
                    [_FLOOR, json.dumps(floor)],
                )
            return floor

        self._floor = max(self._floor, await self._database.write(change))
        while self._recent and self._recent[0].cursor <= self._floor:
            self._recent_since = self._recent.popleft().cursor


@asynccontextmanager
async def open_event_log(
    database: Database, *, max_events: int = MAX_EVENTS, max_age_seconds: float = MAX_AGE_SECONDS
) -> AsyncIterator[EventLog]:
    """Open the log for the block; meanwhile it is pruned regularly. What is written before the block is in it as well."""
    log = EventLog(database, max_events=max_events, max_age_seconds=max_age_seconds)
    await log._load()
    loop = asyncio.get_running_loop()
    with database.after_commit(lambda db: log._look(db, loop)):
        pruning = asyncio.create_task(log._prune_regularly(), name="prune events")
        try:
            yield log
        finally:
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)


def _select(db: Tables, since: int, latest: int, limit: int, choice: Choice, order: str = "asc") -> list[Event]:
    conditions = ["cursor > ? and cursor <= ?"]
    values: list[Any] = [since, latest]
    if choice.workspace is not None:
        conditions.append("(workspace is null or workspace = ?)")
        values.append(choice.workspace)
    if choice.kinds:
        marks = ", ".join("?" * len(choice.kinds))
        conditions.append(f"(kind in ({marks}) or substr(kind, 1, instr(kind, '.') - 1) in ({marks}))")
        values += [*choice.kinds, *choice.kinds]
    where = " and ".join(conditions)
    sql = f"select {_COLUMNS} from events where {where} order by cursor {order} limit ?"  # noqa: S608 - our own clauses
    return [_event(row) for row in db.execute(sql, [*values, limit])]


def _event(row: Sequence[Any]) -> Event:
    cursor, moment, kind, workspace, data = row
    return Event(cursor, moment, kind, workspace, json.loads(data))
