"""The log itself: what is written with a change, read from a cursor on, superseded, pruned, and kept over a restart."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from daemon.events.conftest import SECONDS, record

from edgeloop_daemon.events.event_log import Choice, EventLog, Reset, open_event_log, record_event
from edgeloop_daemon.events.kinds import (
    KINDS,
    DevicePaired,
    JobCancelled,
    JobFailed,
    JobProgressed,
    JobQueued,
    JobStarted,
    JobSucceeded,
)
from edgeloop_daemon.store.database import Database, open_database


async def test_events_have_strictly_increasing_cursors_and_are_read_behind_one(
    database: Database, log: EventLog
) -> None:
    await record(database, *(JobStarted(f"j{number}") for number in range(5)), workspace="w1")
    page = await log.page()
    rest = await log.page(page.items[2].cursor)
    first = await log.page(0, limit=2)

    cursors = [event.cursor for event in page.items]
    assert cursors == sorted(set(cursors))
    assert [event.data["job"] for event in page.items] == ["j0", "j1", "j2", "j3", "j4"]
    assert {(event.kind, event.workspace) for event in page.items} == {("job.started", "w1")}
    assert [event.data["job"] for event in rest.items] == ["j3", "j4"]
    assert (rest.next, rest.latest, rest.reset) == (cursors[-1], cursors[-1], None)
    assert (len(first.items), first.next, first.latest) == (2, cursors[1], cursors[-1])


async def test_an_event_and_its_change_are_there_together_or_not_at_all(database: Database, log: EventLog) -> None:
    def half(db):  # type: ignore[no-untyped-def]
        db.insert("settings", {"name": "half", "value_json": "1"})
        record_event(db, JobStarted("j1"))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await database.write(half)
    await record(database, JobStarted("j2"))
    assert [event.data["job"] for event in (await log.page()).items] == ["j2"]
    assert not await database.read(lambda db: list(db.query("select * from settings where name = 'half'")))


@pytest.mark.parametrize("is_reopened", [False, True], ids=["from memory", "from the database"])
async def test_events_are_chosen_by_kind_group_and_workspace(database: Database, is_reopened: bool) -> None:
    async with open_event_log(database) as log:
        await record(database, JobQueued("j1", "convert", "tool"), JobFailed("j1", "error", "Oh."), workspace="w1")
        await record(database, JobSucceeded("j2"), workspace="w2")
        await record(database, DevicePaired("d1", "phone"))
        async with open_event_log(database) as later:
            read = later if is_reopened else log
            for choice, kinds in {
                Choice(("job.failed",)): ["job.failed"],
                Choice(("job",)): ["job.queued", "job.failed", "job.succeeded"],
                Choice(("device", "job.succeeded")): ["job.succeeded", "device.paired"],
                Choice(workspace="w1"): ["job.queued", "job.failed", "device.paired"],
                Choice(("job",), "w2"): ["job.succeeded"],
            }.items():
                page = await read.page(choice=choice)
                assert [event.kind for event in page.items] == kinds
                assert page.next == 4
                newest = await read.newest(limit=1, choice=choice)
                assert [event.kind for event in newest.items] == kinds[-1:]


async def test_progress_is_kept_only_as_its_newest_but_seen_by_those_who_follow(
    database: Database, log: EventLog
) -> None:
    await record(database, *(JobProgressed("j1", step / 4, "") for step in range(4)), JobProgressed("j2", 0.5, ""))
    followed = await log.page(0)
    async with open_event_log(database) as later:
        kept = await later.page(0)
    assert [event.data["fraction"] for event in followed.items] == [0.0, 0.25, 0.5, 0.75, 0.5]
    assert [(event.data["job"], event.data["fraction"]) for event in kept.items] == [("j1", 0.75), ("j2", 0.5)]
    assert kept.reset is None


async def test_a_cursor_that_is_too_old_or_unknown_is_told_so(database: Database) -> None:
    async with open_event_log(database, max_events=3) as log:
        await record(database, *(JobStarted(f"j{number}") for number in range(5)))
        await log.prune()
        too_old, unknown = await log.page(1), await log.page(1000)
        at_the_edge, from_the_oldest = await log.page(2), await log.page()
    assert [event.cursor for event in too_old.items] == [3, 4, 5]
    assert too_old.reset == Reset(1, 2)
    assert (unknown.items, unknown.reset, unknown.next) == ((), Reset(1000, 5), 5)
    assert at_the_edge.reset is None
    assert from_the_oldest.reset is None
    assert from_the_oldest.items == at_the_edge.items == too_old.items


async def test_old_events_are_pruned_and_cursors_never_used_again(tmp_path: Path) -> None:
    async with open_database(tmp_path / "edgeloop.db") as database, open_event_log(database, max_age_seconds=0) as log:
        await record(database, JobStarted("j1"), JobSucceeded("j1"))
        await log.prune()
        assert (await log.page()).items == ()
    async with open_database(tmp_path / "edgeloop.db") as database, open_event_log(database) as log:
        await record(database, JobStarted("j2"))
        page = await log.page(1)
        assert [event.cursor for event in page.items] == [3]
        assert page.reset == Reset(1, 2)


async def test_events_of_a_time_when_the_clock_was_wrong_take_no_others_with_them(database: Database) -> None:
    async with open_event_log(database) as log:
        await record(database, *(JobStarted(f"j{number}") for number in range(5)))
        await database.write(lambda db: db.execute("update events set time = 1 where cursor in (1, 4)"))
        await log.prune()
        assert [event.cursor for event in (await log.page()).items] == [2, 3, 4, 5]


async def test_waiting_ends_with_the_next_event(database: Database, log: EventLog) -> None:
    await record(database, JobStarted("j1"))
    waiting = asyncio.create_task(log.wait(1))
    await record(database, JobCancelled("j1"))
    await asyncio.wait_for(waiting, SECONDS)
    assert log.latest == 2


def test_every_kind_is_small_described_and_named_by_group_and_verb() -> None:
    assert len(KINDS) >= 25
    for kind, declared in KINDS.items():
        group, _, what = kind.partition(".")
        assert group
        assert what
        assert declared.__doc__
        names = [field.name for field in dataclasses.fields(declared)]
        assert declared.subject is None or declared.subject in names
