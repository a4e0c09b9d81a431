"""QR text, typed code and the proofs of pairing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.errors import InvalidInputError, VersionMismatchError
from edgeloop_shared.pairing import (
    CODE_CHARACTERS,
    PairingOffer,
    PairingTranscript,
    new_code,
    parse_code,
    parse_offer,
    session_key,
    show_code,
    stretch,
)

CERTIFICATE = bytes(range(32))
SECRET = bytes(range(16))
ADDRESSES = st.ip_addresses().map(str)


@given(
    st.integers(1, 65535),
    st.lists(ADDRESSES, min_size=1, max_size=2),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
)
def test_an_offer_survives_its_qr_text(port: int, addresses: list[str], certificate: bytes, secret: bytes) -> None:
    offer = PairingOffer(port, tuple(addresses), certificate, secret)
    assert re.fullmatch(r"[0-9A-Z $%*+\-./:]+", offer.text())  # QR's alphanumeric mode
    assert parse_offer(f" {offer.text()}\n") == offer


def test_one_address_fits_a_small_qr_code() -> None:
    assert len(PairingOffer(65535, ("192.168.100.100",), CERTIFICATE, SECRET).text()) <= 122  # version 5-M


CERTIFICATE_TEXT = base64.b32encode(CERTIFICATE).decode().rstrip("=")
SECRET_TEXT = base64.b32encode(SECRET).decode().rstrip("=")


def test_the_code_of_another_version_says_to_update() -> None:
    with pytest.raises(VersionMismatchError, match="Update the older of the two"):
        parse_offer(f"EDGELOOP://P2/8765/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.com",
        f"edgeloop://p1/8765/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/0/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/65536/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/٣/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765//{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/+/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/10.0.0.1+10.0.0.2+10.0.0.3+10.0.0.4+10.0.0.5/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/10.0.0.256/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/10.0.0/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/EVIL.EXAMPLE/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/FE80--1%ETH0/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/FE80--1%@EVIL.EXAMPLE/{CERTIFICATE_TEXT}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT[:-1]}/{SECRET_TEXT}",
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT[:-1]}R/{SECRET_TEXT}",  # spare bits that are not zero
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT[:-1]}5",
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}/",
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT}/{SECRET_TEXT}\nX",
        f"EDGELOOP://P1/8765/10.0.0.1/{CERTIFICATE_TEXT.replace('A', '1')}/{SECRET_TEXT}",
        "EDGELOOP://P1/" + "9" * 100_000,
    ],
)
def test_a_text_that_is_no_offer_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_offer(text)
    assert "edgeloop pair" in caught.value.hint
    assert len(caught.value.message) < 200


@given(st.text(st.characters(), max_size=60), st.integers(0, 3))
def test_random_texts_raise_nothing_but_input_errors(text: str, place: int) -> None:
    parts = ["8765", "10.0.0.1", CERTIFICATE_TEXT, SECRET_TEXT]
    parts[place] = text
    for hostile in (text, "EDGELOOP://P1/" + "/".join(parts)):
        try:
            offer = parse_offer(hostile)
        except InvalidInputError:
            continue
        assert parse_offer(offer.text()) == offer


def test_a_code_is_fresh_and_is_understood_as_it_is_shown() -> None:
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    for code in codes:
        assert len(code) == CODE_CHARACTERS
        assert parse_code(show_code(code)) == code


@pytest.mark.parametrize(
    "typed",
    ["4G7K-0QXM-912B", "4g7k0qxm912b", " 4g7k 0qxm 912b ", "4G7K-OQXM-9I2B", "4g7k-oqxm-9l2b", "-4G7K0QXM912B-"],
)
def test_case_separators_and_look_alikes_do_not_matter(typed: str) -> None:
    assert parse_code(typed) == "4G7K0QXM912B"


@pytest.mark.parametrize(
    "typed", ["", "4G7K-0QXM-92Z", "4G7K-0QXM-92ZBB", "4G7K-0QXM-92ZU", "4G7K-0QXM-92Z!", "٤" * 12]
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInputError, match="12 letters and digits"):
        parse_code(typed)


@given(st.text(st.characters(), max_size=20))
def test_random_codes_raise_nothing_but_input_errors(text: str) -> None:
    try:
        code = parse_code(text)
    except InvalidInputError:
        return
    assert parse_code(code) == code


def test_stretching_binds_the_secret_to_the_certificate() -> None:
    assert stretch(SECRET, CERTIFICATE) == stretch(SECRET, CERTIFICATE)
    assert stretch(SECRET, CERTIFICATE) != stretch(SECRET, bytes(32))
    assert stretch(SECRET, CERTIFICATE) != stretch(bytes(16), CERTIFICATE)
    with pytest.raises(ValueError, match="32 bytes"):
        stretch(SECRET, CERTIFICATE[:-1])


def test_the_proofs_are_the_documented_arithmetic() -> None:
    def prefixed(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    salt = prefixed(b"edgeloop-pairing-1", CERTIFICATE)
    stretched = hashlib.scrypt(SECRET, salt=salt, n=16384, r=8, p=1, maxmem=2**26, dklen=32)
    key = hmac.new(stretched, prefixed(b"s" * 32, b"c" * 32), "sha256").digest()
    assert session_key(stretch(SECRET, CERTIFICATE), b"s" * 32, b"c" * 32) == key

    transcript = PairingTranscript()
    for message in (b"one", b"two", b"three"):
        transcript.add(message)
    so_far = hashlib.sha256(prefixed(b"one", b"two", b"three")).digest()
    assert transcript.device_proof(key) == hmac.new(key, prefixed(b"pair-c", so_far), "sha256").digest()
    transcript.add(b"four")
    so_far = hashlib.sha256(prefixed(b"one", b"two", b"three", b"four")).digest()
    assert transcript.daemon_proof(key) == hmac.new(key, prefixed(b"pair-s", so_far), "sha256").digest()


def transcript_of(*messages: bytes) -> PairingTranscript:
    transcript = PairingTranscript()
    for message in messages:
        transcript.add(message)
    return transcript


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_different_conversations_have_different_proofs(ours: list[bytes], theirs: list[bytes]) -> None:
    same = transcript_of(*ours).device_proof(SECRET) == transcript_of(*theirs).device_proof(SECRET)
    assert same == (ours == theirs)


def test_one_sides_proof_does_not_serve_the_other_and_messages_cannot_move_their_borders() -> None:
    assert transcript_of(b"a").device_proof(SECRET) != transcript_of(b"a").daemon_proof(SECRET)
    assert transcript_of(b"ab", b"c").device_proof(SECRET) != transcript_of(b"a", b"bc").device_proof(SECRET)
    assert transcript_of(b"a").device_proof(SECRET) != transcript_of(b"a", b"").device_proof(SECRET)
