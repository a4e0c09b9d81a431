"""The keyed hashes by which both ends of pairing and of a link prove what they know. Standard library only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

NONCE_BYTES = 32
KEY_BYTES = 32
FINGERPRINT_BYTES = 32


def fingerprint(certificate_der: bytes) -> bytes:
    """Return the 32-byte SHA-256 of a certificate's DER form: what a QR code holds and a phone pins."""
    return hashlib.sha256(certificate_der).digest()


def length_prefixed(*parts: bytes) -> bytes:
    """Join `parts` so that no two different lists give the same bytes: each is preceded by its length (u32, big-endian)."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def keyed_hash(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA256 under `key` of the length-prefixed `parts`."""
    return hmac.digest(key, length_prefixed(*parts), "sha256")


def matches(given: bytes, expected: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(given, expected)


def format_versions(versions: Sequence[int]) -> str:
    """Return the one spelling of a list of protocol versions that goes into a header and into the proofs: `1,2`."""
    return ",".join(str(version) for version in sorted(versions))


def device_link_proof(
    device_key: bytes, certificate: bytes, server_nonce: bytes, client_nonce: bytes, device_id: str, versions: str
) -> bytes:
    """Return what the device proves when it dials: that it knows its key, for this certificate and this connection.

    `certificate` is the fingerprint, `versions` the text of `format_versions`.
    """
    return keyed_hash(
        device_key, b"link-c", certificate, server_nonce, client_nonce, device_id.encode(), versions.encode()
    )


def daemon_link_proof(
    device_key: bytes,
    certificate: bytes,
    server_nonce: bytes,
    client_nonce: bytes,
    device_id: str,
    versions: str,
    chosen: int,
) -> bytes:
    """Return what the daemon proves in `Welcome`; it also binds the version that it chose."""
    return keyed_hash(
        device_key,
        b"link-s",
        certificate,
        server_nonce,
        client_nonce,
        device_id.encode(),
        versions.encode(),
        str(chosen).encode(),
    )
