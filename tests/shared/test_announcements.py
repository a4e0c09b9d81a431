"""Announcements and knocks: who recognises a phone, and what is no announcement and no knock."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.announcements import MAX_TAGS, MAX_TXT_BYTES, new_announcement, new_name, read_txt
from edgeloop_shared.errors import MessageError
from edgeloop_shared.knocks import MAX_COUNTER, pack_knock, unpack_knock
from edgeloop_shared.networks import OwnAddress, is_on_link

KEYS = [secrets.token_bytes(32) for _ in range(60)]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40])
def test_only_who_knows_a_key_recognises_the_phone(count: int) -> None:
    announcement = read_txt(new_announcement(KEYS[:count]).txt())
    assert [announcement.is_of(key) for key in KEYS] == [number < count for number in range(len(KEYS))]


def test_of_more_keys_than_there_is_room_for_the_last_ones_are_announced() -> None:
    announcement = new_announcement(KEYS)
    assert len(announcement.tags) == MAX_TAGS
    assert [announcement.is_of(key) for key in KEYS] == [False] * 20 + [True] * 40


@pytest.mark.parametrize(("pairings", "tags"), [(0, 8), (1, 8), (8, 8), (9, 16), (39, 40), (40, 40)])
def test_the_number_of_tags_hides_the_number_of_pairings(pairings: int, tags: int) -> None:
    assert len(new_announcement(KEYS[:pairings]).tags) == tags


def test_two_announcements_of_one_phone_have_nothing_in_common() -> None:
    first, second = new_announcement(KEYS[:3]), new_announcement(KEYS[:3])
    assert first.salt != second.salt
    assert not set(first.tags) & set(second.tags)
    assert new_name() != new_name()


@pytest.mark.parametrize(
    "txt",
    [
        b"",
        b"\x00",
        b"\x05v=1",
        b"\x03v=2" + bytes([18]) + b"s=" + bytes(16),
        b"\x03v=1\x04s=12",
        b"\x03v=1" + bytes([18]) + b"s=" + bytes(16) + b"\x05t=123",
        bytes(MAX_TXT_BYTES + 1),
    ],
)
def test_what_is_no_announcement_is_refused(txt: bytes) -> None:
    with pytest.raises(MessageError):
        read_txt(txt)


def test_keys_of_later_versions_are_ignored_and_the_first_of_two_counts() -> None:
    announcement = new_announcement(KEYS[:1])
    assert read_txt(announcement.txt() + b"\x05new=1\x03v=9\x00\x01x") == announcement


@given(port=st.integers(1, 65535), counter=st.integers(0, MAX_COUNTER), place=st.integers(0, 29), bit=st.integers(0, 7))
def test_a_knock_is_its_makers_and_no_bit_of_it_can_be_changed(port: int, counter: int, place: int, bit: int) -> None:
    salt = bytes(range(16))
    datagram = pack_knock(KEYS[0], salt, port, counter)
    knock = unpack_knock(datagram)
    assert (knock.port, knock.counter) == (port, counter)
    assert knock.is_of(KEYS[0], salt)
    assert not knock.is_of(KEYS[1], salt)
    assert not knock.is_of(KEYS[0], bytes(16))
    changed = bytearray(datagram)
    changed[place] ^= 1 << bit
    try:
        assert not unpack_knock(bytes(changed)).is_of(KEYS[0], salt)
    except MessageError:
        assert place < 6  # not even the form of a knock


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.77", True),
        ("192.168.2.1", False),
        ("8.8.8.8", False),
        ("127.0.0.1", True),
        ("fe80::1%3", True),
        ("fd00::2", True),
        ("2001:db8::1", False),
        ("224.0.0.251", False),
        ("0.0.0.0", False),
        ("phone.local", False),
        ("", False),
    ],
)
def test_who_is_on_link(address: str, expected: bool) -> None:
    own = [OwnAddress(3, network) for network in ("192.168.1.5/24", "fe80::5/64", "fd00::1/64")]
    assert is_on_link(address, own) is expected
