"""The device port's self-signed certificate: made once, pinned by every phone, so never replaced."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from edgeloop_shared.proofs import fingerprint

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Certificate:
    """What the device port shows: `fingerprint` is the SHA-256 of the certificate's DER form (32 bytes)."""

    fingerprint: bytes
    context: ssl.SSLContext


def load_or_create_certificate(certificate: Path, key: Path) -> Certificate:
    """Return the certificate in the PEM files at `certificate` and `key`. Blocks.

    They are made now if one is not there; if they cannot be read they are kept beside the new ones, and phones must pair again.
    """
    if certificate.exists() and key.exists():
        try:
            return _load(certificate, key)
        except (OSError, ValueError) as error:  # of which `ssl.SSLError` is one
            _log.error("The device port's certificate cannot be read, so a new one is made: %s", error)
            for path in (certificate, key):
                path.replace(path.with_name(f"{path.name}.damaged"))
    from edgeloop_daemon.devices.certificate_creation import create_certificate  # a tenth of what a start takes

    create_certificate(certificate, key)
    return _load(certificate, key)


def _load(certificate: Path, key: Path) -> Certificate:
    key.chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a revoked phone could resume a session by its ticket
    context.load_cert_chain(certificate, key)
    return Certificate(fingerprint(ssl.PEM_cert_to_DER_cert(certificate.read_text())), context)
