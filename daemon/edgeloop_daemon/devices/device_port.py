"""What the device port answers: pairing, links and blobs. There is nothing else on it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from edgeloop_daemon.devices.blob_transfers import SHA256, BlobTransfers
from edgeloop_daemon.devices.connections import UNAUTHENTICATED_SECONDS, Connection
from edgeloop_daemon.devices.link import Proved
from edgeloop_daemon.devices.links import Links
from edgeloop_daemon.devices.pairing import Pairing
from edgeloop_daemon.devices.pairing_window import Attempt
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.store.failures import disk_failure
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import (
    BadProofError,
    EdgeloopError,
    ForbiddenError,
    InvalidInputError,
    MessageError,
    NotFoundError,
    NotPairedError,
    TooLargeError,
    TransferError,
    UnauthorizedError,
    VersionMismatchError,
)
from edgeloop_shared.messages import LINK_VERSIONS, MAX_MESSAGE_BYTES, MAX_UNAUTHENTICATED_BYTES, VERSIONS_HEADER
from edgeloop_shared.pairing import PROOF_HEADER
from edgeloop_shared.proofs import KEY_BYTES, daemon_link_proof, device_link_proof, matches

_AUTHORIZATION = re.compile(r"Edgeloop ([a-z0-9]{1,32})\.([0-9a-f]{64})\.([0-9a-f]{64})")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{16,128})")
_VERSIONS = re.compile(r"[0-9]{1,4}(,[0-9]{1,4}){0,15}")
_CLOSE_SECONDS = 2.0
_log = logging.getLogger(__name__)

Answer = Callable[[], Awaitable[web.StreamResponse]]


class DevicePort:
    """Answers one request at a time per connection; `handle` is the listener's handler.

    `certificate` is the fingerprint of the certificate that the listener shows.
    """

    def __init__(
        self, certificate: bytes, registry: Registry, pairing: Pairing, links: Links, blobs: BlobTransfers
    ) -> None:
        self._certificate = certificate
        self._registry = registry
        self._pairing = pairing
        self._links = links
        self._blobs = blobs
        self._attempts: dict[Connection, Attempt] = {}
        self._decoy = secrets.token_bytes(KEY_BYTES)  # the key of devices that do not exist

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; an error becomes its status and its JSON form."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        try:
            _check_headers(request)
            response = await self._answer(request, connection)()
        except EdgeloopError as error:
            response = _refusal(error, request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and (failure := disk_failure(error)) is not None:
                response = _refusal(failure, request)
            else:
                _log.exception("%s %s failed on the device port", request.method, request.path)
                response = web.json_response(EdgeloopError("The daemon failed to answer.").as_dict(), status=500)
        if not connection.answered():
            response.force_close()
        return response

    def _answer(self, request: web.BaseRequest, connection: Connection) -> Answer:
        path, method = request.path, request.method
        if (method, path) == ("POST", "/v1/pair/start"):
            return partial(self._pair_start, request, connection)
        if (method, path) == ("POST", "/v1/pair/finish"):
            return partial(self._pair_finish, request, connection)
        if (method, path) == ("GET", "/v1/link"):
            return partial(self._link, request, connection)
        prefix, _, sha256 = path.rpartition("/")
        if prefix == "/v1/blob" and SHA256.fullmatch(sha256) and method in ("GET", "HEAD", "PUT"):
            return partial(self._blob, request, connection, sha256)
        raise NotFoundError("There is nothing here.")

    async def _pair_start(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        body = await _small_body(request)
        self._forget_attempt(connection)
        attempt, answer, seconds = self._pairing.start(connection.address, body)
        self._attempts[connection] = attempt
        connection.on_lost.append(lambda: self._forget_attempt(connection))
        connection.expect_authentication(seconds)  # a person answers in between
        return web.Response(body=answer, content_type="application/json")

    async def _pair_finish(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        body = await _small_body(request)
        attempt = self._attempts.get(connection)
        try:
            answer, proof = await self._pairing.finish(attempt, body, request.headers.get(PROOF_HEADER, ""))
        finally:
            connection.expect_authentication(UNAUTHENTICATED_SECONDS)
        return web.Response(body=answer, headers={PROOF_HEADER: proof.hex()}, content_type="application/json")

    def _forget_attempt(self, connection: Connection) -> None:
        if (attempt := self._attempts.pop(connection, None)) is not None:
            self._pairing.abandon(attempt)

    async def _link(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            nonce = connection.new_nonce()
            response = _refusal(UnauthorizedError("Prove who you are."), request)
            response.headers["WWW-Authenticate"] = f"Edgeloop nonce={nonce.hex()}"
            return response
        proved = self._prove(request, connection)
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES, timeout=_CLOSE_SECONDS)
        if not socket.can_prepare(request):
            raise MessageError("A link is a WebSocket; the request does not ask for one.")
        await socket.prepare(request)
        connection.authenticate()
        watch = asyncio.create_task(connection.cut_off_when_lost(socket.ping))
        try:
            await self._links.serve(socket, proved)
        finally:
            watch.cancel()
        return socket

    def _prove(self, request: web.BaseRequest, connection: Connection) -> Proved:
        """Return what both sides have proved. Unknown and wrong devices take the same path, whatever the answer is."""
        match = _AUTHORIZATION.fullmatch(_only(request, "Authorization"))
        versions = _only(request, VERSIONS_HEADER)
        server_nonce = connection.take_nonce()
        if match is None or server_nonce is None or not _VERSIONS.fullmatch(versions):
            raise _bad_link("The proof does not answer a fresh nonce of this connection.")
        device_id, client_nonce, proof = match[1], bytes.fromhex(match[2]), bytes.fromhex(match[3])
        device = self._registry.find(device_id)
        key = self._decoy if device is None else device.key
        expected = device_link_proof(key, self._certificate, server_nonce, client_nonce, device_id, versions)
        is_good = matches(proof, expected)
        if device is None:
            raise NotPairedError(
                "This computer does not know this device (any more).", hint="Pair it again with `edgeloop pair`."
            )
        if not is_good:
            raise _bad_link("The device's proof is wrong.")
        theirs = {int(version) for version in versions.split(",")}
        common = theirs & set(LINK_VERSIONS)
        if not common:
            raise VersionMismatchError(
                "The device and this computer speak no common version of the link.",
                hint="Update the older of the two.",
                details={"ours": list(LINK_VERSIONS), "theirs": sorted(theirs)},
            )
        chosen = max(common)
        answer = daemon_link_proof(key, self._certificate, server_nonce, client_nonce, device_id, versions, chosen)
        return Proved(device, connection.address, chosen, answer)

    async def _blob(self, request: web.BaseRequest, connection: Connection, sha256: str) -> web.StreamResponse:
        match = _BEARER.fullmatch(_only(request, "Authorization"))
        device_id = self._links.device_of_bearer(match[1]) if match else None
        if device_id is None:
            if connection.is_authenticated:
                connection.expect_authentication(UNAUTHENTICATED_SECONDS)
            raise UnauthorizedError("The bearer is not one of a live link.", hint="Link first; it dies with the link.")
        self._links.attach(device_id, connection)
        connection.authenticate()
        await self._links.settled(device_id)
        match request.method:
            case "GET":
                return await self._blobs.download(request, device_id, sha256)
            case "HEAD":
                return await self._blobs.received(device_id, sha256)
            case _:
                return await self._blobs.upload(request, device_id, sha256)


def _check_headers(request: web.BaseRequest) -> None:
    if "Origin" in request.headers:
        raise ForbiddenError("Web pages have no business on the device port.")
    if "Content-Encoding" in request.headers or request.headers.get("Transfer-Encoding", "chunked") != "chunked":
        raise InvalidInputError("Encoded bodies are refused.", hint="Send the body as it is.")


def _only(request: web.BaseRequest, header: str) -> str:
    values = request.headers.getall(header, [])
    return values[0] if len(values) == 1 else ""


async def _small_body(request: web.BaseRequest) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_UNAUTHENTICATED_BYTES:
            raise TooLargeError("The message is too long.", details={"limit": MAX_UNAUTHENTICATED_BYTES})
    return bytes(body)


def _bad_link(message: str) -> BadProofError:
    return BadProofError(message, hint="Dial again; if this repeats, pair the device again with `edgeloop pair`.")


def _refusal(error: EdgeloopError, request: web.BaseRequest) -> web.Response:
    status = error.http_status
    if isinstance(error, BadProofError) and request.path == "/v1/link":
        status = UnauthorizedError.http_status
    elif isinstance(error, TransferError):  # here it is the device's bytes that are wrong, not ours
        status = InvalidInputError.http_status
    response = web.Response(body=encode_json(error.as_dict()), status=status, content_type="application/problem+json")
    if request.can_read_body and not request.content.at_eof():
        response.force_close()
    return response
