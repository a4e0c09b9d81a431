"""The outbox: order, windows, bounds, and what is sent again."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_companion.link.outbox import Outbox
from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_UNACKNOWLEDGED
from edgeloop_shared.records import MAX_PAYLOAD, Priority, Record

SMALL = {Priority.EVENTS: 100, Priority.LOGS: 100, Priority.TRACES: 100}


def sendable(outbox: Outbox) -> list[Record]:
    """Take everything that may be sent now."""
    return list(iter(outbox.next, None))


async def test_events_go_before_logs_before_traces_and_streams_take_turns() -> None:
    outbox = Outbox()
    for stream in ("b.traces", "a.logs", "b.logs", "a.events"):
        for _ in range(2):
            await outbox.append(stream, b"x")
    order = [(record.stream, record.sequence) for record in sendable(outbox)]
    assert order == [
        *(("a.events", 1), ("a.events", 2)),
        *(("a.logs", 1), ("b.logs", 1), ("a.logs", 2), ("b.logs", 2)),
        *(("b.traces", 1), ("b.traces", 2)),
    ]


async def test_a_stream_waits_when_its_window_is_full_and_goes_on_after_an_acknowledgement() -> None:
    outbox = Outbox()
    for _ in range(MAX_UNACKNOWLEDGED + 10):
        await outbox.append("a.traces", b"x")
    assert len(sendable(outbox)) == MAX_UNACKNOWLEDGED
    await outbox.append("a.events", b"x")
    assert [record.stream for record in sendable(outbox)] == ["a.events"]  # a full stream holds up no other
    outbox.acknowledge({"a.traces": 4})
    assert [record.sequence for record in sendable(outbox)] == [257, 258, 259, 260]


async def test_a_long_payload_travels_in_parts() -> None:
    outbox = Outbox()
    assert await outbox.append("a.events", b"x" * (2 * MAX_PAYLOAD + 1)) == 3
    assert [(len(record.payload), record.continued) for record in sendable(outbox)] == [
        (MAX_PAYLOAD, True),
        (MAX_PAYLOAD, True),
        (1, False),
    ]


async def test_a_new_link_begins_behind_what_is_stored() -> None:
    outbox = Outbox()
    for _ in range(5):
        await outbox.append("a.logs", b"x")
    sendable(outbox)
    outbox.resume({"a.logs": 3})
    assert [record.sequence for record in sendable(outbox)] == [4, 5]


async def test_a_stored_record_whose_acknowledgement_was_lost_is_not_sent_again() -> None:
    outbox = Outbox()
    await outbox.append("a.logs", b"x")
    sendable(outbox)
    outbox.resume({})
    outbox.resume({"a.logs": 1})  # stored by the first link, although this device heard of it only now
    assert sendable(outbox) == []


async def test_the_acknowledgement_of_an_unsent_record_is_a_fault() -> None:
    outbox = Outbox()
    await outbox.append("a.logs", b"x")
    with pytest.raises(MessageError):
        outbox.acknowledge({"a.logs": 1})


async def test_a_full_outbox_makes_its_writer_wait_but_not_those_of_other_priorities() -> None:
    outbox = Outbox(max_bytes=SMALL)
    await outbox.append("a.logs", b"x" * 80)
    waiting = asyncio.create_task(outbox.append("b.logs", b"x" * 80))
    await outbox.append("a.events", b"x" * 80)
    assert not waiting.done()
    sendable(outbox)
    outbox.acknowledge({"a.logs": 1})
    assert await waiting == 1


async def test_a_payload_beyond_the_bound_is_taken_when_nothing_else_waits() -> None:
    assert await Outbox(max_bytes=SMALL).append("a.logs", b"x" * 1000) == 1


async def test_a_closed_stream_is_forgotten_once_it_is_stored() -> None:
    outbox = Outbox()
    await outbox.append("a.events", b"x")
    outbox.close_stream("a.events")
    outbox.close_stream("a.logs")  # nothing was ever logged
    assert outbox.streams == ("a.events",)
    sendable(outbox)
    outbox.acknowledge({"a.events": 1})
    assert list(outbox.streams) == []
    await outbox.stored("a.events", 1)
    await outbox.drained()


@given(cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8), count=st.integers(1, 60))
def test_whatever_is_cut_every_record_is_stored_once_and_in_order(cuts: list[tuple[int, int]], count: int) -> None:
    async def scenario() -> None:
        outbox = Outbox()
        stored: list[int] = []

        def take(record: Record) -> None:
            if record.sequence > len(stored):
                stored.append(record.sequence)

        for _ in range(count):
            await outbox.append("a.events", b"x")
        for sent, lost in cuts:  # each link sends some records, and the last ones are lost
            batch = [record for _ in range(sent) if (record := outbox.next())]
            for record in batch[: max(0, len(batch) - lost)]:
                take(record)
            outbox.resume({"a.events": len(stored)})
        while batch := sendable(outbox):
            for record in batch:
                take(record)
            outbox.acknowledge({"a.events": len(stored)})
        assert len(stored) == count
        assert all(after == before + 1 for before, after in pairwise(stored))

    asyncio.run(scenario())
