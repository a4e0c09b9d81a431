"""Blocks of traces: whatever a device may send survives the way into a block and out of it, and its summary adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_daemon.traces.blocks import (
    MAX_TOTAL,
    pack_columns,
    pack_statistics,
    statistics,
    unpack_columns,
    unpack_statistics,
)
from edgeloop_daemon.traces.intake import pack_payloads, unpack_payloads
from edgeloop_daemon.traces.span_tree import SpanTree
from edgeloop_shared.errors import MessageError
from edgeloop_shared.spans import Label, SpanBatch, SpanTexts
from edgeloop_shared.traces import TraceBatch, joined, pack_batch, unpack_batch

ITERATIONS = st.one_of(st.integers(0, 9), st.integers(2**32 - 3, 2**32 - 1))
BEGINS = st.one_of(st.integers(0, 1000), st.integers(-(2**60), 2**60), st.sampled_from([-(2**61) + 1, 2**61 - 1]))
DURATIONS = st.one_of(st.integers(0, 70_000), st.integers(0, 2**61 - 1))


def columns(batch: TraceBatch) -> list[list[int]]:
    return [list(column) for column in (batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns)]


def arrived(batch: TraceBatch) -> TraceBatch:
    """The batch as the daemon has it."""
    return joined([unpack_batch(pack_batch(batch))])


@given(st.lists(st.tuples(st.integers(0, 9999), ITERATIONS, BEGINS, DURATIONS), min_size=1, max_size=30))
def test_any_batch_survives_its_block(events: list[tuple[int, int, int, int]]) -> None:
    operator, iteration, begin, duration = ([event[place] for event in events] for place in range(4))
    if max(begin) - min(begin) >= 2**61:
        begin = [0] * len(begin)  # no batch spans that
    batch = arrived(TraceBatch(3, operator, iteration, begin, duration))
    assert columns(unpack_columns(pack_columns(batch))) == columns(batch)
    found = statistics(batch)
    assert unpack_statistics(pack_statistics(found)) == found
    assert sum(one.count for one in found.values()) == len(batch)


@given(st.integers(1, 5), st.integers(1, 6), ITERATIONS, st.booleans())
def test_whole_runs_are_known_as_such_whatever_their_numbers(known: int, runs: int, first: int, is_cut: bool) -> None:
    numbers = [(first + run) % 2**32 for run in range(runs) for _ in range(known)]
    count = len(numbers)
    events = list(zip(list(range(known)) * runs, numbers, range(0, 100 * count, 100), [40] * count, strict=True))
    cut = events[: max(1, count - is_cut)]
    batch = arrived(TraceBatch(3, *([event[place] for event in cut] for place in range(4))))
    assert columns(unpack_columns(pack_columns(batch))) == columns(batch)


def test_times_that_no_clock_has_shown_add_up_to_the_largest_there_is() -> None:
    batch = arrived(TraceBatch(1, [0] * 20, range(20), [0] * 20, [2**61 - 1] * 20))
    assert statistics(batch)[0].total == MAX_TOTAL
    assert unpack_statistics(pack_statistics(statistics(batch)))[0].total == MAX_TOTAL
    tree = SpanTree()
    texts = SpanTexts((Label("span", "for ever"),), ("main",))
    tree.add(SpanBatch(texts, [0] * 20, [0] * 20, [0] * 20, [0] * 20, [0] * 20, [2**61 - 1] * 20))
    again = SpanTree()
    again.add_summary(tree.summary())
    assert [(row.calls, row.total_ms) for row in again.rows()] == [(20, MAX_TOTAL / 1e6)]


def test_a_device_that_nests_deeply_under_long_names_makes_no_large_summary() -> None:
    chain = [Label("span", f"{depth:0200}", depth - 1) for depth in range(60)]
    leaves = [Label("span", f"leaf {number}", 59) for number in range(500)]
    count, tree = len(leaves), SpanTree()
    zeros = [0] * count
    texts = SpanTexts((*chain, *leaves), ("main",))
    tree.add(SpanBatch(texts, range(60, 60 + count), zeros, zeros, zeros, zeros, [7] * count))
    summary = tree.summary()
    assert len(summary) < 200_000
    again = SpanTree()
    again.add_summary(summary)
    assert again.rows() == tree.rows()
    assert [row.depth for row in again.rows()][:61] == list(range(61))


def test_a_long_trace_takes_a_few_bytes_an_operator() -> None:
    known, runs = 60, 300
    durations = [20_000 + 777 * (place * place % 1013) + run % 13 for run in range(runs) for place in range(known)]
    begins = [100_000_000 * (place // known) + 300_000 * (place % known) for place in range(known * runs)]
    batch = joined(
        [
            TraceBatch(
                1, list(range(known)) * runs, [run for run in range(runs) for _ in range(known)], begins, durations
            )
        ]
    )
    assert len(pack_columns(batch)) + len(pack_statistics(statistics(batch))) < 8 * len(batch)


@pytest.mark.parametrize("payloads", [[], [b""], [b"a" * 5, b"", b"b" * 70_000]])
def test_payloads_of_a_block_come_out_as_they_went_in(payloads: list[bytes]) -> None:
    assert list(unpack_payloads(pack_payloads(payloads))) == payloads


@pytest.mark.parametrize("damage", [b"", b"x" * 60, b"ELTC" + b"\xff" * 60])
def test_what_is_no_block_is_refused(damage: bytes) -> None:
    with pytest.raises(MessageError):
        unpack_columns(damage)
    with pytest.raises(MessageError):
        unpack_statistics(damage[:3])
    with pytest.raises(MessageError):
        list(unpack_payloads(damage))
