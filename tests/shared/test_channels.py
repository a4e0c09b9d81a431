"""Channels: however the link is cut, both ends read what the other has written, no byte lost and none twice."""

from __future__ import annotations

import random
from collections import deque

import pytest

from edgeloop_shared.channels import (
    MAX_CHANNEL_PAYLOAD,
    MAX_ENDING_BYTES,
    WINDOW,
    ChannelEnd,
    ChannelFrame,
    pack_channel_frame,
    pack_ending,
    read_ending,
    unpack_channel_frame,
)
from edgeloop_shared.errors import ConflictError, EdgeloopError, MessageError


class Side:
    """An end and its user, who reads at once or not at all."""

    def __init__(self) -> None:
        self.end = ChannelEnd("k1")
        self.wire: deque[bytes] = deque()
        self.read = bytearray()
        self.unread = 0

    def put_on_wire(self) -> None:
        while (frame := self.end.next_frame()) is not None:
            self.wire.append(pack_channel_frame(frame))

    def get(self, data: bytes, *, takes: bool = True) -> None:
        came = self.end.take(unpack_channel_frame(data))
        self.read += came
        self.unread += len(came)
        if takes:
            self.end.taken(self.unread)
            self.unread = 0


def linked() -> tuple[Side, Side]:
    one, other = Side(), Side()
    relink(one, other)
    return one, other


def relink(one: Side, other: Side) -> None:
    for side in (one, other):
        side.end.unlinked()
        side.wire.clear()
    one.end.resume(other.end.received)
    other.end.resume(one.end.received)


def carry(one: Side, other: Side) -> None:
    while True:
        one.put_on_wire()
        other.put_on_wire()
        if not one.wire and not other.wire:
            return
        while one.wire:
            other.get(one.wire.popleft())
        while other.wire:
            one.get(other.wire.popleft())


@pytest.mark.parametrize("seed", range(20))
def test_what_one_end_sends_the_other_reads_over_many_lost_links(seed: int) -> None:
    dice = random.Random(seed)
    one, other = linked()
    written = {one: bytearray(), other: bytearray()}
    for _ in range(300):
        side, peer = dice.choice([(one, other), (other, one)])
        act = dice.random()
        if act < 0.4:
            data = dice.randbytes(min(side.end.room, dice.choice([1, 100, 100_000])))
            side.end.send(data)
            written[side] += data
        elif act < 0.7:
            side.put_on_wire()
        elif act < 0.97:
            if side.wire:
                peer.get(side.wire.popleft(), takes=dice.random() < 0.5)
        else:
            relink(one, other)
    one.end.end()
    relink(one, other)
    one.end.taken(one.unread)
    other.end.taken(other.unread)
    carry(one, other)
    assert other.read == written[one]
    assert one.end.is_over
    assert other.end.is_over
    assert bytes(written[other]).startswith(one.read)


def test_who_does_not_read_stops_the_writer_at_the_window() -> None:
    one, other = linked()
    one.end.send(bytes(WINDOW))
    assert one.end.room == 0
    with pytest.raises(ValueError, match="no room"):
        one.end.send(b"x")
    one.put_on_wire()
    assert {len(data) <= 64 * 1024 for data in one.wire} == {True}
    for data in one.wire:
        other.get(data, takes=False)
    other.put_on_wire()
    assert not other.wire
    other.end.taken(WINDOW)
    other.put_on_wire()
    one.get(other.wire.popleft())
    assert one.end.room == WINDOW


def test_both_ends_may_end_at_the_same_time() -> None:
    one, other = linked()
    one.end.end(ConflictError("taken"))
    other.end.end()
    carry(one, other)
    assert one.end.is_over
    assert other.end.is_over
    assert read_ending(one.end.ending_there or b"") is None
    reason = read_ending(other.end.ending_there or b"")
    assert isinstance(reason, ConflictError)
    assert reason.message == "taken"


@pytest.mark.parametrize("seed", range(60))
def test_nothing_comes_for_a_channel_that_an_end_has_forgotten(seed: int) -> None:
    dice = random.Random(seed)
    one, other = linked()
    for step in range(400):
        side, peer = dice.choice([(one, other), (other, one)])
        act = dice.random()
        if step > 200 and act < 0.02:
            side.end.end()
        elif act < 0.3 and not side.end.has_ended:
            side.end.send(dice.randbytes(min(side.end.room, dice.choice([100, 100_000]))))
        elif act < 0.6 and not side.end.is_over:
            side.put_on_wire()
        elif side.wire:
            assert not peer.end.is_over, "it has forgotten the channel, and would end the link"
            peer.get(side.wire.popleft(), takes=dice.random() < 0.8)


def test_an_end_that_is_lost_with_the_link_comes_over_the_next() -> None:
    one, other = linked()
    one.end.send(b"last words")
    one.end.end()
    one.put_on_wire()
    relink(one, other)
    carry(one, other)
    assert other.read == b"last words"
    assert one.end.is_over
    assert other.end.is_over


def test_nothing_goes_without_a_link() -> None:
    end = ChannelEnd("k1")
    end.send(b"early")
    assert end.next_frame() is None
    end.resume(0)
    frame = end.next_frame()
    assert frame is not None
    assert frame.payload == b"early"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (ChannelFrame("k1", 6, 0, b"x"), "goes on at 6"),
        (ChannelFrame("k1", 4, 0, b"x"), "goes on at 4"),
        (ChannelFrame("k1", 2**62, 0), "goes on at"),
        (ChannelFrame("k1", 5, 1, b"x"), "was acknowledged but not sent"),
        (ChannelFrame("k1", 5, 2**62), "was acknowledged but not sent"),
    ],
)
def test_a_gap_a_repetition_and_a_false_acknowledgement_break_the_protocol(frame: ChannelFrame, words: str) -> None:
    _, end = linked()
    end.get(pack_channel_frame(ChannelFrame("k1", 0, 0, b"hello")))
    with pytest.raises(MessageError, match=words):
        end.end.take(frame)


def test_a_flood_beyond_the_window_breaks_the_protocol() -> None:
    _, end = linked()
    at = 0
    while at + MAX_CHANNEL_PAYLOAD <= WINDOW:
        end.get(pack_channel_frame(ChannelFrame("k1", at, 0, bytes(MAX_CHANNEL_PAYLOAD))), takes=False)
        at += MAX_CHANNEL_PAYLOAD
    with pytest.raises(MessageError, match="before any was taken"):
        end.get(pack_channel_frame(ChannelFrame("k1", at, 0, bytes(MAX_CHANNEL_PAYLOAD))), takes=False)


def test_nothing_comes_behind_an_end() -> None:
    _, end = linked()
    end.get(pack_channel_frame(ChannelFrame("k1", 0, 0, b"", ends=True)))
    with pytest.raises(MessageError, match="behind its end"):
        end.get(pack_channel_frame(ChannelFrame("k1", 1, 0, b"x")))


@pytest.mark.parametrize("received", [-1, 4, 2**62])
def test_a_channel_goes_on_only_where_it_can_have_been(received: int) -> None:
    end = ChannelEnd("k1")
    end.send(b"abc")
    with pytest.raises(MessageError, match="cannot go on at"):
        end.resume(received)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" * 19,
        b"\x01" + bytes(19),
        b"\x02\x02\x02\x00" + bytes(16) + b"k1",
        b"\x02\x00\x02\x01" + bytes(16) + b"k1",
        b"\x02\x00\x00\x00" + bytes(16),
        b"\x02\x00\x09\x00" + bytes(16) + b"k1",
        b"\x02\x00\x02\x00" + bytes(16) + b"K1",
        b"\x02\x00\x02\x00" + b"\xff" * 16 + b"k1",
        b"\x02\x00\x02\x00" + bytes(16) + b"k1" + bytes(MAX_CHANNEL_PAYLOAD + 1),
        b"\x02\x01\x02\x00" + bytes(16) + b"k1" + bytes(MAX_ENDING_BYTES + 1),
    ],
)
def test_other_bytes_are_no_frame(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack_channel_frame(data)


def test_the_longest_reason_fits_its_frame() -> None:
    packed = pack_ending(EdgeloopError("\x01" * 5000, hint="ü" * 5000))
    assert len(packed) <= MAX_ENDING_BYTES
    reason = read_ending(packed)
    assert reason is not None
    assert reason.message.startswith("\x01")
    with pytest.raises(MessageError):
        read_ending(b"{}")
