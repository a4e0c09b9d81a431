"""Records: their binary frames, and payloads in several parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_FRAME_BYTES
from edgeloop_shared.records import (
    HEADER,
    MAX_PAYLOAD,
    Priority,
    Record,
    join,
    pack_record,
    split,
    stream_name,
    stream_priority,
    unpack_record,
)

RUN_IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32)
STREAMS = st.builds(stream_name, RUN_IDS, st.sampled_from(Priority))


def frame(
    *,
    version: int = 1,
    flags: int = 0,
    reserved: int = 0,
    sequence: int = 1,
    stream: bytes = b"r1.logs",
    rest: bytes = b"x",
) -> bytes:
    return HEADER.pack(version, flags, len(stream), reserved, sequence) + stream + rest


@given(STREAMS, st.integers(1, 2**63 - 1), st.binary(min_size=1, max_size=300), st.booleans())
def test_a_record_survives_its_frame(stream: str, sequence: int, payload: bytes, continued: bool) -> None:
    record = Record(stream, sequence, payload, continued)
    assert unpack_record(pack_record(record)) == record


def test_a_full_record_fits_a_frame() -> None:
    record = Record(stream_name("r" * 32, Priority.EVENTS), 2**63 - 1, bytes(MAX_PAYLOAD), continued=True)
    assert len(pack_record(record)) <= MAX_FRAME_BYTES
    assert unpack_record(pack_record(record)) == record


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frame()[:11],
        frame(version=0),
        frame(version=2),
        frame(flags=4),
        frame(flags=3),
        frame(flags=255),
        frame(reserved=1),
        frame(sequence=0),
        frame(sequence=2**63),
        frame(sequence=2**64 - 1),
        frame(stream=b""),
        frame(stream=b"r1.other"),
        frame(stream=b"r1.logs\n"),
        frame(stream=b"../r1.logs"),
        frame(stream=b"R1.logs"),
        frame(stream=b".logs"),
        frame(stream=b"r1.l\xf6gs"),
        frame(stream=b"r" * 33 + b".logs"),
        frame(rest=bytes(MAX_PAYLOAD + 1)),
        frame(flags=1, rest=b""),
        HEADER.pack(1, 0, 200, 0, 1) + b"r1.logs",
    ],
)
def test_a_frame_that_nobody_of_us_writes_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack_record(data)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_random_frames_raise_nothing_but_message_errors(data: bytes, kind: int) -> None:
    hostile = (data, frame()[:8] + data, frame(stream=data[:40]), frame(flags=1, rest=data))[kind]
    try:
        record = unpack_record(hostile)
    except MessageError:
        return
    assert pack_record(record) == hostile


@given(st.lists(st.integers(0, 3 * MAX_PAYLOAD), max_size=5))
def test_payloads_survive_being_split_and_joined(sizes: list[int]) -> None:
    payloads = [bytes([index]) * size for index, size in enumerate(sizes)]
    parts = [part for payload in payloads for part in split(payload)]
    assert all(len(part) <= MAX_PAYLOAD for part, _ in parts)
    assert list(join(parts, max_bytes=3 * MAX_PAYLOAD)) == payloads


def test_a_payload_of_exactly_one_record_is_not_continued() -> None:
    assert list(split(b"")) == [(b"", False)]
    assert [continued for _, continued in split(bytes(MAX_PAYLOAD))] == [False]
    assert [continued for _, continued in split(bytes(MAX_PAYLOAD + 1))] == [True, False]


def test_a_whole_beyond_its_limit_is_refused_before_it_is_put_together() -> None:
    def endless() -> object:
        while True:
            yield b"x" * 1024, True

    with pytest.raises(MessageError, match="exceeds the limit of 4096"):
        list(join(endless(), max_bytes=4096))  # type: ignore[arg-type]


def test_an_unfinished_payload_at_the_end_is_left_out() -> None:
    assert list(join([(b"a", False), (b"b", True)], max_bytes=10)) == [b"a"]


def test_events_go_before_logs_and_logs_before_traces() -> None:
    names = [stream_name("r1", priority) for priority in sorted(Priority, reverse=True)]
    assert sorted(names, key=stream_priority) == ["r1.events", "r1.logs", "r1.traces"]
    assert Record("r1.events", 1, b"").run_id == "r1"
