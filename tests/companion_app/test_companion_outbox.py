"""The outbox: order, windows, bounds, what is sent again, and what outlives the companion."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeloop_companion.link.outbox import Outbox, RunRecords
from edgeloop_companion.link.spool import SpoolDamagedError
from edgeloop_companion.runtime.journal import Cursor
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_UNACKNOWLEDGED
from edgeloop_shared.records import MAX_PAYLOAD, Priority, Record
from edgeloop_shared.run_events import Gap

EVENTS, LOGS, TRACES = Priority.EVENTS, Priority.LOGS, Priority.TRACES
SMALL = {EVENTS: 100, LOGS: 100, TRACES: 100}


class Phone:
    """An outbox and its runs; `restarted` is what the next companion finds on the same disk."""

    def __init__(self, folder: Path, max_bytes: Mapping[Priority, int] | None = None) -> None:
        self.folder = folder
        self.outbox = Outbox(folder, max_bytes=max_bytes) if max_bytes else Outbox(folder)
        self.outbox.load()
        self.runs: dict[str, RunRecords] = {}
        self.stored_runs: list[str] = []

    async def run(self, run_id: str) -> RunRecords:
        if run_id not in self.runs:
            folder = self.folder / run_id
            folder.mkdir(exist_ok=True)
            self.runs[run_id] = await self.outbox.open_run(run_id, folder, lambda: self.stored_runs.append(run_id))
        return self.runs[run_id]

    async def append(self, stream: str, payload: bytes) -> int:
        run_id, _, name = stream.partition(".")
        run = await self.run(run_id)
        priority = Priority[name.upper()]
        await run.append([(priority, payload)])
        return run.state.last[priority]

    async def sendable(self) -> list[Record]:
        """Take everything that may be sent now."""
        records = []
        while (record := await self.outbox.next()) is not None:
            records.append(record)
        return records

    async def restarted(self) -> Phone:
        phone = Phone(self.folder)
        for run_id in self.runs:
            await phone.run(run_id)
        return phone


@pytest_asyncio.fixture
async def phone(tmp_path: Path) -> AsyncIterator[Phone]:
    yield Phone(tmp_path)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let the disk take no file that is larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_events_go_before_logs_before_traces_and_streams_take_turns(phone: Phone) -> None:
    for stream in ("b.traces", "a.logs", "b.logs", "a.events"):
        for _ in range(2):
            await phone.append(stream, b"x")
    order = [(record.stream, record.sequence) for record in await phone.sendable()]
    assert order[:2] == [("a.events", 1), ("a.events", 2)]
    assert sorted(order[2:4]) == [("a.logs", 1), ("b.logs", 1)]
    assert sorted(order[4:6]) == [("a.logs", 2), ("b.logs", 2)]
    assert order[6:] == [("b.traces", 1), ("b.traces", 2)]


async def test_a_stream_waits_when_its_window_is_full_and_goes_on_after_an_acknowledgement(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append([(TRACES, b"x")] * (MAX_UNACKNOWLEDGED + 10))
    assert len(await phone.sendable()) == MAX_UNACKNOWLEDGED
    await phone.append("a.events", b"x")
    assert [record.stream for record in await phone.sendable()] == ["a.events"]  # a full stream holds up no other
    phone.outbox.acknowledge({"a.traces": 4})
    assert [record.sequence for record in await phone.sendable()] == [257, 258, 259, 260]


async def test_a_long_payload_travels_in_parts(phone: Phone) -> None:
    assert await phone.append("a.events", b"x" * (2 * MAX_PAYLOAD + 1)) == 3
    assert [(len(record.payload), record.continued) for record in await phone.sendable()] == [
        (MAX_PAYLOAD, True),
        (MAX_PAYLOAD, True),
        (1, False),
    ]


async def test_a_new_link_begins_behind_what_is_stored(phone: Phone) -> None:
    for _ in range(5):
        await phone.append("a.logs", b"x")
    await phone.sendable()
    phone.outbox.resume({"a.logs": 3})
    assert [record.sequence for record in await phone.sendable()] == [4, 5]


async def test_a_stored_record_whose_acknowledgement_was_lost_is_not_sent_again(phone: Phone) -> None:
    await phone.append("a.logs", b"x")
    await phone.sendable()
    phone.outbox.resume({})
    phone.outbox.resume({"a.logs": 1})  # stored by the first link, although this device heard of it only now
    assert await phone.sendable() == []


async def test_the_acknowledgement_of_an_unsent_record_is_a_fault(phone: Phone) -> None:
    await phone.append("a.logs", b"x")
    with pytest.raises(MessageError):
        phone.outbox.acknowledge({"a.logs": 1})


async def test_while_there_is_a_link_a_full_outbox_makes_its_writer_wait_but_not_those_of_other_priorities(
    tmp_path: Path,
) -> None:
    phone = Phone(tmp_path, SMALL)
    phone.outbox.resume({})
    await phone.append("a.logs", b"x" * 80)
    waiting = asyncio.create_task(phone.append("b.logs", b"x" * 80))
    await phone.append("a.events", b"x" * 80)
    assert not waiting.done()
    await phone.sendable()
    phone.outbox.acknowledge({"a.logs": 1})
    assert await waiting == 1


async def test_a_payload_beyond_the_bound_is_taken_when_nothing_else_waits(tmp_path: Path) -> None:
    assert await Phone(tmp_path, SMALL).append("a.logs", b"x" * 1000) == 1


async def test_without_a_link_output_beyond_the_bound_becomes_a_gap_and_events_wait(tmp_path: Path) -> None:
    phone = Phone(tmp_path, SMALL)
    run = await phone.run("a")
    for payload in (b"x" * 80, b"one\ntwo\nthree" * 5, b"y" * 50):
        await run.append([(LOGS, payload)])
    await run.append([(EVENTS, b"e" * 80)])
    event = asyncio.create_task(run.append([(EVENTS, b"f" * 80)]))
    phone.outbox.resume({})
    assert [record.payload[:1] for record in await phone.sendable()] == [b"e", b"x"]
    phone.outbox.acknowledge({"a.events": 1, "a.logs": 1})
    await event
    await run.append([(LOGS, b"z")])
    sent = {record.stream: record for record in await phone.sendable() if not record.is_gap}
    assert sent["a.events"].payload == b"f" * 80
    assert (sent["a.logs"].sequence, sent["a.logs"].payload) == (3, b"z")


async def test_a_gap_says_what_is_missing_where_it_is_missing_also_after_a_restart(tmp_path: Path) -> None:
    phone = Phone(tmp_path, SMALL)
    run = await phone.run("a")
    for payload in (b"x" * 80, b"one\ntwo\nthree" * 5, b"y" * 50):
        await run.append([(LOGS, payload)])
    phone = await phone.restarted()
    run = await phone.run("a")
    await run.append([(LOGS, b"z")])
    first, gap, last = await phone.sendable()
    assert [record.is_gap for record in (first, gap, last)] == [False, True, False]
    told = decode_json(Gap, gap.payload, max_bytes=1000)
    assert (told.items, told.bytes, told.reason) == (12, 115, "spool-full")
    assert last.payload == b"z"


async def test_a_gap_at_the_end_of_a_run_is_told_before_its_last_event(tmp_path: Path) -> None:
    phone = Phone(tmp_path, SMALL)
    run = await phone.run("a")
    await run.append([(TRACES, b"x" * 80)])
    await run.append([(TRACES, b"x" * 80)])
    await run.close(lambda last: f"end at {last[TRACES]}".encode())
    sent = await phone.sendable()
    assert [(record.stream, record.is_gap) for record in sent] == [
        ("a.events", False),
        ("a.traces", False),
        ("a.traces", True),
    ]
    assert sent[0].payload == b"end at 2"


async def test_a_closed_run_is_forgotten_once_it_is_stored(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append([(EVENTS, b"x")])
    await run.close(lambda _: b"end")
    assert list(phone.outbox.streams) == ["a.events"]
    await phone.sendable()
    phone.outbox.acknowledge({"a.events": 2})
    assert list(phone.outbox.streams) == []
    assert phone.stored_runs == ["a"]
    await phone.outbox.stored("a.events", 2)
    await phone.outbox.drained()


async def test_the_next_companion_sends_the_same_records_in_the_same_epoch(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append(
        [(EVENTS, b"e"), (LOGS, b"l" * (MAX_PAYLOAD + 1))], cursor=Cursor(3, 40), files={"ab": 7}, failure={"code": "x"}
    )
    await run.append([(TRACES, b"t")])
    first = await phone.sendable()
    again = await phone.restarted()
    assert again.outbox.epoch == phone.outbox.epoch
    assert again.outbox.streams == phone.outbox.streams
    assert await again.sendable() == first
    state = (await again.run("a")).state
    assert (state.cursor, state.files, state.failure, state.is_closed) == (
        Cursor(3, 40),
        {"ab": 7},
        {"code": "x"},
        False,
    )
    assert await again.append("a.traces", b"u") == 2


async def test_what_is_stored_leaves_the_disk_and_the_numbers_go_on(phone: Phone) -> None:
    run = await phone.run("a")
    for _ in range(5):
        await run.append([(TRACES, bytes(MAX_PAYLOAD))] * 20)
        await phone.sendable()
        phone.outbox.acknowledge({"a.traces": run.state.last[TRACES]})
    await run.append([(TRACES, b"last")])
    phone.outbox.acknowledge({})
    await run.append([])  # behind the tidying up
    phone = await phone.restarted()
    assert [(record.sequence, record.payload) for record in await phone.sendable()][-1] == (101, b"last")
    assert sum(path.stat().st_size for path in (phone.folder / "a").iterdir()) < 5 * 1024**2


async def test_more_than_fits_into_memory_is_sent_from_the_disk(phone: Phone) -> None:
    run = await phone.run("a")
    for number in range(12):
        await run.append([(LOGS, bytes([number]) * MAX_PAYLOAD)] * 16)
    phone.outbox.resume({})
    sent = [record.payload[0] for record in await phone.sendable()]
    assert sent == [number for number in range(12) for _ in range(16)]


async def test_a_frame_that_a_kill_cut_off_was_never_sent_and_is_dropped(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append([(LOGS, b"whole")], cursor=Cursor(1, 5))
    size = (phone.folder / "a" / "spool.1").stat().st_size
    await run.append([(LOGS, b"cut off")], cursor=Cursor(1, 12))
    os.truncate(phone.folder / "a" / "spool.1", size + 20)
    phone = await phone.restarted()
    assert [record.payload for record in await phone.sendable()] == [b"whole"]
    assert (await phone.run("a")).state.cursor == Cursor(1, 5)
    assert await phone.append("a.logs", b"next") == 2
    assert [record.payload for record in await (await phone.restarted()).sendable()] == [b"whole", b"next"]


@pytest.mark.parametrize("at", [2, 6, 30, -3])
async def test_a_spoiled_spool_is_an_error_that_says_so(phone: Phone, at: int) -> None:
    await phone.append("a.logs", b"whole")
    await phone.append("a.logs", b"second")
    file = phone.folder / "a" / "spool.1"
    content = bytearray(file.read_bytes())
    content[at] ^= 0x55
    file.write_bytes(content)
    if at == 2:  # the length of a frame: it looks like one that was cut off
        content += bytes(2**24)
        file.write_bytes(content)
    with pytest.raises(SpoolDamagedError, match=r"spool\.1 cannot be read"):
        await phone.restarted()


async def test_without_its_epoch_an_outbox_begins_a_new_one(phone: Phone) -> None:
    (phone.folder / "epoch").write_bytes(b"\xff\x00")
    assert (await phone.restarted()).outbox.epoch != phone.outbox.epoch


async def test_a_full_disk_without_a_link_drops_output_with_a_gap_and_recovers(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append([(LOGS, b"before")])
    with no_file_beyond(2000):
        await run.append([(LOGS, b"l" * 3000)])
        await run.append([(TRACES, b"t" * 3000)])
    await run.append([(LOGS, b"after"), (TRACES, b"after")])
    sent = await (await phone.restarted()).sendable()
    assert [(record.stream, record.is_gap) for record in sent] == [
        ("a.logs", False),
        ("a.logs", True),
        ("a.logs", False),
        ("a.traces", True),
        ("a.traces", False),
    ]
    assert decode_json(Gap, sent[1].payload, max_bytes=1000).reason == "disk-full"


async def test_a_full_disk_does_not_hold_up_a_link_over_which_nothing_waits(phone: Phone) -> None:
    run = await phone.run("a")
    phone.outbox.resume({})
    with no_file_beyond(2000):
        async with asyncio.timeout(60):
            await run.append([(LOGS, b"l" * 3000)])
    await run.append([(LOGS, b"after")])
    assert [record.is_gap for record in await phone.sendable()] == [True, False]


async def test_a_full_disk_makes_an_event_wait_until_there_is_room(phone: Phone) -> None:
    run = await phone.run("a")
    await run.append([(EVENTS, b"before")])
    with no_file_beyond(2000):
        waiting = asyncio.create_task(run.append([(EVENTS, b"e" * 3000)]))
        await asyncio.wait({waiting}, timeout=0.1)
        assert not waiting.done()
    await waiting
    assert [record.payload[:1] for record in await (await phone.restarted()).sendable()] == [b"b", b"e"]


async def test_an_error_of_the_disk_that_is_not_its_size_is_raised(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await phone.run("a")

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OSError, match="broken"):
        await run.append([(EVENTS, b"e")])


@settings(max_examples=100)  # each writes files
@given(
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=6),
    count=st.integers(1, 40),
)
def test_whatever_is_cut_or_killed_every_record_is_stored_once_and_in_order(
    cuts: list[tuple[int, int, bool]], count: int
) -> None:
    async def scenario(folder: Path) -> None:
        phone = Phone(folder)
        stored: list[int] = []

        def take(record: Record) -> None:
            if record.sequence > len(stored):
                stored.append(record.sequence)

        for _ in range(count):
            await phone.append("a.events", b"x")
        for sent, lost, is_killed in cuts:  # each link sends some records, and the last ones are lost
            batch = [record for _ in range(sent) if (record := await phone.outbox.next())]
            for record in batch[: max(0, len(batch) - lost)]:
                take(record)
            if is_killed:
                phone = await phone.restarted()
            phone.outbox.resume({"a.events": len(stored)})
        while batch := await phone.sendable():
            for record in batch:
                take(record)
            phone.outbox.acknowledge({"a.events": len(stored)})
        assert len(stored) == count
        assert all(after == before + 1 for before, after in pairwise(stored))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
