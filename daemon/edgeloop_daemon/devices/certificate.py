"""The device port's self-signed certificate: made once, pinned by every phone, so never replaced."""

from __future__ import annotations

import datetime
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared.proofs import fingerprint

_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)  # phones with a wrong clock still accept it
_log = logging.getLogger(__name__)
_END = datetime.datetime(2099, 12, 31, tzinfo=datetime.UTC)


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
    _create(certificate, key)
    return _load(certificate, key)


def _load(certificate: Path, key: Path) -> Certificate:
    key.chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a revoked phone could resume a session by its ticket
    context.load_cert_chain(certificate, key)
    return Certificate(fingerprint(ssl.PEM_cert_to_DER_cert(certificate.read_text())), context)


def _create(certificate: Path, key: Path) -> None:
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgeloop device port")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    private_bytes = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(key, private_bytes)  # first: a certificate without its key would look finished
    write_atomically(certificate, signed.public_bytes(serialization.Encoding.PEM), mode=0o644)
