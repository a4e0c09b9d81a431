"""The keyed hashes of a link: every part is bound."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.proofs import (
    daemon_link_proof,
    device_link_proof,
    fingerprint,
    format_versions,
    keyed_hash,
    length_prefixed,
    matches,
)

LINK: dict[str, Any] = {
    "device_key": b"k" * 32,
    "certificate": b"f" * 32,
    "server_nonce": b"s" * 32,
    "client_nonce": b"c" * 32,
    "device_id": "d1",
    "versions": "1,2",
}
OTHERS: dict[str, Any] = {
    "device_key": b"K" * 32,
    "certificate": b"F" * 32,
    "server_nonce": b"S" * 32,
    "client_nonce": b"C" * 32,
    "device_id": "d2",
    "versions": "1",
}


@given(st.lists(st.binary(max_size=8), max_size=5), st.lists(st.binary(max_size=8), max_size=5))
def test_two_lists_of_parts_have_the_same_bytes_only_when_they_are_the_same(
    ours: list[bytes], theirs: list[bytes]
) -> None:
    assert (length_prefixed(*ours) == length_prefixed(*theirs)) == (ours == theirs)


@pytest.mark.parametrize("part", LINK)
def test_each_part_of_a_link_is_bound_by_both_proofs(part: str) -> None:
    other = {**LINK, part: OTHERS[part]}
    assert device_link_proof(**LINK) != device_link_proof(**other)
    assert daemon_link_proof(**LINK, chosen=1) != daemon_link_proof(**other, chosen=1)


def test_the_daemon_also_binds_the_version_that_it_chose() -> None:
    assert daemon_link_proof(**LINK, chosen=1) != daemon_link_proof(**LINK, chosen=2)


def test_a_proof_cannot_be_sent_back() -> None:
    assert device_link_proof(**LINK) != daemon_link_proof(**LINK, chosen=1)


def test_the_device_proof_is_the_documented_arithmetic() -> None:
    parts = (b"link-c", b"f" * 32, b"s" * 32, b"c" * 32, b"d1", b"1,2")
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert device_link_proof(**LINK) == hmac.new(b"k" * 32, message, hashlib.sha256).digest()


def test_a_key_matters_and_so_does_each_part() -> None:
    assert keyed_hash(b"k", b"a", b"b") == keyed_hash(b"k", b"a", b"b")
    assert len({keyed_hash(b"k", b"a", b"b"), keyed_hash(b"l", b"a", b"b"), keyed_hash(b"k", b"ab")}) == 3


def test_proofs_match_only_whole() -> None:
    proof = keyed_hash(b"k", b"a")
    assert matches(bytes(proof), proof)
    for wrong in (b"", proof[:-1], proof + b"\0", bytes(32), proof[:-1] + bytes([proof[-1] ^ 1])):
        assert not matches(wrong, proof)


def test_versions_have_one_spelling_and_a_fingerprint_is_of_the_der_form() -> None:
    assert format_versions((2, 1, 10)) == "1,2,10"
    assert fingerprint(b"der") == hashlib.sha256(b"der").digest()
