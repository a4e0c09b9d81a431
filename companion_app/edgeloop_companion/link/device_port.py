"""HTTPS to a daemon's device port: whom to trust there, and how its refusals come back as errors."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp

from edgeloop_shared.addresses import show_address
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import (
    CertificateMismatchError,
    DaemonUnreachableError,
    EdgeloopError,
    MessageError,
    error_from_dict,
)
from edgeloop_shared.proofs import FINGERPRINT_BYTES, fingerprint

REQUEST_SECONDS = 10.0
IDLE_SECONDS = 660.0  # longer than any pairing window
MAX_REFUSAL_BYTES = 64 * 1024


class OneConnection(aiohttp.Fingerprint):
    """Lets one TLS connection through and remembers it and the fingerprint met there; with a pin, only that certificate.

    Pairing and link authenticate *this* connection, so a second one, made behind our back after the first was lost,
    is refused like a wrong certificate.
    """

    def __init__(self, pin: bytes | None = None) -> None:
        super().__init__(pin or bytes(FINGERPRINT_BYTES))
        self._pin = pin
        self.met: bytes | None = None
        self.own_address = ""
        self._transport: asyncio.Transport | None = None

    def check(self, transport: asyncio.Transport) -> None:
        """Refuse the connection of `transport` with `aiohttp.ServerFingerprintMismatch` unless it is the one meant."""
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = fingerprint(certificate)
        if self.met is not None or self._pin not in (None, found):
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(self._pin or self.met or b"", found, host, port)
        self.met, self._transport = found, transport
        self.own_address = str(transport.get_extra_info("sockname")[0]).partition("%")[0]

    def abort(self) -> None:
        """Cut the connection off."""
        if self._transport is not None:
            self._transport.abort()


def device_url(address: str, port: int, path: str) -> str:
    """Return the URL of `path` on the device port at an IP address or a host name."""
    return f"https://{show_address(address, port)}{path}"


@contextlib.asynccontextmanager
async def device_port(trust: aiohttp.Fingerprint, *, connections: int = 1) -> AsyncIterator[DevicePort]:
    """Open a client for one device port whose certificate `trust` judges before any byte is sent."""
    # A person answers between the two steps of pairing, so the connection may be idle for a whole window.
    connector = aiohttp.TCPConnector(ssl=trust, limit=connections, keepalive_timeout=IDLE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        middlewares=(_raise_refusals,),
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
    ) as session:
        yield DevicePort(session)


class DevicePort:
    """Requests to one device port. An answer of 400 and above is raised as the error that it describes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.context = _context()

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | aiohttp.Payload | None = None,
        accept: tuple[int, ...] = (),
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; statuses in `accept` are handed back although they are refusals.

        Raises `EdgeloopError` as the daemon describes it, `CertificateMismatchError` and `DaemonUnreachableError`.
        """
        with unreachable(url):
            async with self.session.request(
                method,
                url,
                headers=headers,
                data=body,
                ssl=self.context,
                allow_redirects=False,
                middlewares=() if accept else None,
                timeout=timeout or aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            ) as response:
                if accept and response.status >= 400 and response.status not in accept:
                    raise await refusal(response)
                if 300 <= response.status < 400:
                    raise MessageError(f"The daemon at {url} answered with a redirect, which is never followed.")
                yield response


@functools.cache  # to make one takes longer than the handshake's messages
def _context() -> ssl.SSLContext:
    # The certificate is judged by its fingerprint alone: names and issuers mean nothing in a home network.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole body. Raises `MessageError` when it is longer than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            response.close()
            raise MessageError(f"The daemon's answer to {response.url} exceeds the limit of {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


async def refusal(response: aiohttp.ClientResponse) -> EdgeloopError:
    """Return the error that a refusal describes; without a description one that names the status."""
    try:
        body = await read_body(response, MAX_REFUSAL_BYTES)
        record = decode_refusal(body)
        if isinstance(record.get("code"), str):
            return error_from_dict(record)
    except (MessageError, aiohttp.ClientError):
        pass
    kinds = (kind for kind in EdgeloopError.registry.values() if kind.http_status == response.status)
    plain = {401: "unauthorized", 403: "forbidden", 404: "not-found", 409: "conflict", 502: "error"}.get(
        response.status
    )
    kind = EdgeloopError.registry[plain] if plain else next(kinds, EdgeloopError)
    return kind(f"The daemon refused {response.method} {response.url.path} with status {response.status}.")


def decode_refusal(body: bytes) -> Mapping[str, Any]:
    """Return the members of a refusal: whoever answers may not even be the daemon. Raises `MessageError`."""
    return decode_json(Mapping[str, Any], body, max_bytes=MAX_REFUSAL_BYTES)  # type: ignore[type-abstract]


@contextlib.contextmanager
def unreachable(url: str) -> Iterator[None]:
    """Turn what goes wrong on the network into the tree's errors."""
    try:
        yield
    except aiohttp.ServerFingerprintMismatch as error:
        raise CertificateMismatchError(
            f"Who answers at {error.host}:{error.port} is not the daemon that this device trusts: its certificate differs.",
            hint="Check the network for somebody in between; if the daemon was set up anew, pair again with `edgeloop pair`.",
            details={"expected": error.expected.hex(), "found": error.got.hex()},
        ) from None
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise DaemonUnreachableError(
            f"No daemon answers at {url}: {_reason(error)}.",
            hint="Check that `edgeloop up` runs on the computer and that both are in the same network.",
        ) from error


def _reason(error: aiohttp.ClientError | OSError) -> str:
    """Return the system's words: those of libraries name objects in memory."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, TimeoutError) and not cause.errno:
        return "it takes too long"
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError | socket.gaierror):
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", "") or str(cause) or type(error).__name__


async def _raise_refusals(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status < 400:
        return response
    try:
        raise await refusal(response)
    finally:
        response.release()
