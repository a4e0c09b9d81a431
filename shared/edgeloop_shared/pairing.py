"""The arithmetic of pairing: the QR text, the typed code and the proofs of both sides.

Both sides feed the raw bytes of every message into a `PairingTranscript`, in order: the body of `POST /v1/pair/start`,
its answer, the body of `POST /v1/pair/finish`, its answer. A proof travels in the header `PROOF_HEADER`, so that it
covers a body byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass, field

from edgeloop_shared.errors import InvalidInputError, VersionMismatchError
from edgeloop_shared.proofs import FINGERPRINT_BYTES, keyed_hash, length_prefixed

PAIRING_VERSIONS = (1,)
PROOF_HEADER = "Edgeloop-Proof"
SECRET_BYTES = 16
CODE_CHARACTERS = 12
CODE_TRIES = 5
"""How many wrong codes a window takes; then the computer shows a new one."""
MAX_ADDRESSES = 4

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_LOOKALIKES = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})
_QR_PATTERN = re.compile(r"EDGELOOP://P1/([0-9]{1,5})/([0-9A-F.+-]{1,159})/([A-Z2-7]{52})/([A-Z2-7]{26})")
_OTHER_VERSION = re.compile(r"EDGELOOP://P([0-9]{1,3})/")
_NOT_A_QR = "Show the code again with `edgeloop pair` and scan it from the edgeloop app."


@dataclass(frozen=True)
class PairingOffer:
    """What a QR code holds: where the daemon listens, whom to trust there, and the window's secret."""

    port: int
    addresses: tuple[str, ...]
    certificate: bytes
    secret: bytes = field(repr=False)

    def text(self) -> str:
        """Return the QR text; every character is in the alphanumeric mode's alphabet."""
        hosts = "+".join(address.replace(":", "-").upper() for address in self.addresses)
        return f"EDGELOOP://P1/{self.port}/{hosts}/{_base32(self.certificate)}/{_base32(self.secret)}"


def parse_offer(text: str) -> PairingOffer:
    """Return the offer in a QR text.

    Raises `VersionMismatchError` for the code of another version, `InvalidInputError` for anything else that
    `PairingOffer.text` cannot have written.
    """
    match = _QR_PATTERN.fullmatch(text.strip())
    if match is None:
        if (other := _OTHER_VERSION.match(text.strip())) is not None and other[1] != "1":
            raise VersionMismatchError(
                f"The pairing code is of version {other[1]}, which this edgeloop does not know.",
                hint="Update the older of the two.",
                details={"ours": [1], "theirs": [int(other[1])]},
            )
        raise InvalidInputError("The scanned text is not an edgeloop pairing code.", hint=_NOT_A_QR)
    port_text, hosts, certificate, secret = match.groups()
    port = int(port_text)
    addresses = tuple(_address(host) for host in hosts.split("+"))
    if not 0 < port < 65536 or not 0 < len(addresses) <= MAX_ADDRESSES:
        raise InvalidInputError("The pairing code names an impossible port or too many addresses.", hint=_NOT_A_QR)
    return PairingOffer(port, addresses, _from_base32(certificate), _from_base32(secret))


def new_code() -> str:
    """Return a fresh typed code: 12 Crockford characters (60 bits), without separators."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARACTERS))


def show_code(code: str) -> str:
    """Return `code` as a person reads it: `XXXX-XXXX-XXXX`."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def parse_code(text: str) -> str:
    """Return the code that a person typed: case, dashes, spaces and look-alike letters do not matter.

    Raises `InvalidInputError` when it is not 12 Crockford characters.
    """
    code = text.upper().translate(_LOOKALIKES)
    if len(code) != CODE_CHARACTERS or any(character not in _ALPHABET for character in code):
        raise InvalidInputError(
            f"A pairing code has {CODE_CHARACTERS} letters and digits, such as 4G7K-0QXM-92ZB.",
            hint="Compare what was typed with the code that `edgeloop pair` shows.",
        )
    return code


def stretch(secret: bytes, certificate: bytes) -> bytes:
    """Return scrypt (RFC 7914; N=2^14, r=8, p=1) of a window's secret, bound to the certificate's fingerprint.

    `secret` is the QR's 16 bytes or the typed code's ASCII text. It takes about 50 ms and 16 MiB: once per window, and
    never on an event loop.
    """
    if len(certificate) != FINGERPRINT_BYTES:
        raise ValueError(f"a fingerprint has {FINGERPRINT_BYTES} bytes, not {len(certificate)}")
    salt = length_prefixed(b"edgeloop-pairing-1", certificate)
    return hashlib.scrypt(secret, salt=salt, n=2**14, r=8, p=1, maxmem=64 * 1024**2, dklen=32)


def session_key(stretched: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """Return the key of one attempt."""
    return keyed_hash(stretched, server_nonce, client_nonce)


class PairingTranscript:
    """All messages of one attempt so far, each as its raw bytes; the proofs cover their hash."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, message: bytes) -> None:
        """Append one message."""
        self._hash.update(length_prefixed(message))

    def device_proof(self, key: bytes) -> bytes:
        """Return the device's proof over everything added so far (through the body of `finish`)."""
        return keyed_hash(key, b"pair-c", self._hash.digest())

    def daemon_proof(self, key: bytes) -> bytes:
        """Return the daemon's proof over everything added so far (through the answer to `finish`)."""
        return keyed_hash(key, b"pair-s", self._hash.digest())


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def _from_base32(text: str) -> bytes:
    data = base64.b32decode(text + "=" * (-len(text) % 8))
    if _base32(data) != text:  # spare bits of the last character that are not zero
        raise InvalidInputError("The scanned text is not an edgeloop pairing code.", hint=_NOT_A_QR)
    return data


def _address(host: str) -> str:
    try:  # a colon is in QR's alphanumeric mode, but it would read as a port; so IPv6 is written with dashes
        return str(ipaddress.ip_address(host.replace("-", ":")))
    except ValueError:
        raise InvalidInputError(f"The pairing code names {host!r}, which is no IP address.", hint=_NOT_A_QR) from None
