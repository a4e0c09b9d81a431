"""A TLS server on loopback with a fresh certificate of its own, whose errors are those of a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.proofs import fingerprint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_certificate() -> tuple[bytes, bytes]:
    """Return a fresh self-signed certificate with its key, as PEM, and its DER form."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgeloop")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM), certificate.public_bytes(
        serialization.Encoding.DER
    )


@contextlib.asynccontextmanager
async def serving(routes: list[web.RouteDef], port: int = 0) -> AsyncIterator[tuple[int, bytes]]:
    """Serve `routes` over TLS 1.3 on loopback with a fresh certificate; yield the port and the fingerprint."""
    pem, der = await asyncio.to_thread(make_certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    app = web.Application(client_max_size=64 * 1024**2)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1], fingerprint(der)
    finally:
        await runner.cleanup()


def guarded(handler: Handler) -> Handler:
    """Return `handler` with an `EdgeloopError` that it raises as its answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except EdgeloopError as error:
            body = json.dumps(error.as_dict()).encode()
            return web.Response(status=error.http_status, body=body, content_type="application/problem+json")

    return answer
