"""Trace batches: packed columns that survive the way, and nothing else that is taken for one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.errors import MessageError
from edgeloop_shared.records import MAX_PAYLOAD
from edgeloop_shared.traces import HEADER, MAX_BATCH_EVENTS, TraceBatch, pack_batch, unpack_batch


def batch(count: int = 1, *, operator: int = 0, begin: int = 0, duration: int = 0, session: int = 1) -> TraceBatch:
    return TraceBatch(session, [operator] * count, [0] * count, [begin] * count, [duration] * count)


def columns(value: TraceBatch) -> tuple[int, list[int], list[int], list[int], list[int]]:
    return (value.session, list(value.operator), list(value.iteration), list(value.begin_ns), list(value.duration_ns))


U32, TIMES = st.integers(0, 2**32 - 1), st.integers(0, 2**60)


@given(U32, st.lists(st.tuples(U32, U32, TIMES, TIMES), max_size=20))
def test_a_batch_survives_its_bytes_in_any_order_of_begins(
    session: int, events: list[tuple[int, int, int, int]]
) -> None:
    operator, iteration, begin, duration = ([event[index] for event in events] for index in range(4))
    value = TraceBatch(session, operator, iteration, begin, duration)
    assert columns(unpack_batch(pack_batch(value))) == columns(value)


def test_a_full_batch_fits_one_record() -> None:
    assert len(pack_batch(batch(MAX_BATCH_EVENTS))) <= MAX_PAYLOAD


@pytest.mark.parametrize(
    "value",
    [
        batch(MAX_BATCH_EVENTS + 1),
        TraceBatch(1, [0], [0, 1], [0], [0]),
        TraceBatch(1, [0], [0], [], [0]),
        batch(operator=-1),
        batch(operator=2**32),
        batch(duration=-1),
        batch(session=2**32),
        batch(begin=2**63),
        batch(duration=2**62),
    ],
)
def test_a_batch_that_cannot_be_written_is_refused(value: TraceBatch) -> None:
    with pytest.raises(ValueError, match="batch"):
        pack_batch(value)


def header(
    *, magic: bytes = b"ELTB", version: int = 1, reserved: int = 0, session: int = 1, count: int = 0, base: int = 0
) -> bytes:
    return HEADER.pack(magic, version, reserved, session, count, base)


EVENT = struct.pack("<IIQQ", 0, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        header()[:-1],
        header() + b"x",
        header(magic=b"ELTX"),
        header(version=0),
        header(version=2),
        header(reserved=1),
        header(count=1),
        header(count=2**32 - 1),
        header(count=2) + EVENT,
        header(count=MAX_BATCH_EVENTS + 1) + EVENT * (MAX_BATCH_EVENTS + 1),
        header(count=1, base=2**63 - 1) + EVENT,
        header(count=1) + struct.pack("<IIQQ", 0, 0, 2**64 - 1, 0),
        header(count=1) + struct.pack("<IIQQ", 0, 0, 0, 2**64 - 1),
    ],
)
def test_bytes_that_nobody_of_us_writes_are_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack_batch(data)


@given(st.binary(max_size=100), st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
def test_random_bytes_raise_nothing_but_message_errors(data: bytes, count: int, base: int) -> None:
    for hostile in (data, header(count=count, base=base) + data, header(count=len(data) // 24, base=base) + data):
        try:
            value = unpack_batch(hostile)
        except MessageError:
            continue
        assert columns(unpack_batch(pack_batch(value))) == columns(value)
