"""The making of the device port's certificate: in a module of its own, because only a daemon's first start needs `cryptography`."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeloop_daemon.store.files import write_atomically

_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)  # phones with a wrong clock still accept it
_END = datetime.datetime(2099, 12, 31, tzinfo=datetime.UTC)


def create_certificate(certificate: Path, key: Path) -> None:
    """Write a self-signed certificate and its private key as PEM files. Blocks."""
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
