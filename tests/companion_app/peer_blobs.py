"""The blobs of the daemon's side of a link: those that a device may fetch, and what it sent."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import BadProofError, TooLargeError

from .peer_behaviour import Behaviour


class PeerBlobs:
    """Answers requests for blobs. `announced` returns those that a device may send, `on_arrival` is told of each."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        announced: Callable[[], Iterable[str]],
        on_arrival: Callable[[], Awaitable[None]],
        cut_link: Callable[[], Awaitable[None]],
    ) -> None:
        self.content: dict[str, bytes] = {}
        self.downloads: list[tuple[str, str]] = []  # (sha256, Range header)
        self.uploads: dict[str, bytearray] = {}
        self.early_uploads: list[str] = []
        self.upload_starts: list[int] = []
        self.uploaded_bytes = 0
        self._behaviour = behaviour
        self._announced = announced
        self._on_arrival = on_arrival
        self._cut_link = cut_link

    def add(self, data: bytes) -> str:
        """Have a blob; return its hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.content[sha256] = data
        return sha256

    async def get(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        asked = request.headers.get("Range", "")
        self.downloads.append((sha256, asked))
        data = self.content.get(sha256)
        if data is None:
            raise web.HTTPNotFound
        if sha256 in self._behaviour.spoiled_blobs:
            data = bytes([data[0] ^ 1]) + data[1:]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if asked else {}
        response = web.StreamResponse(status=206 if asked else 200, headers=headers)
        response.content_length = len(data) - start
        await response.prepare(request)
        if self._behaviour.cut_downloads.get(sha256):
            await response.write(data[start : start + self._behaviour.cut_downloads[sha256].pop(0)])
            assert request.transport is not None
            request.transport.close()  # what was written is still delivered, the rest never comes
            if self._behaviour.cut_link_with_download:
                await self._cut_link()
            return response
        await response.write(data[start:])
        return response

    async def head(self, request: web.Request) -> web.StreamResponse:
        received = 0 if self._behaviour.hides_uploads else len(self.uploads.get(request.match_info["sha256"], b""))
        return web.Response(headers={"Edgeloop-Received": str(received)})

    async def put(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        if sha256 not in self._announced():
            self.early_uploads.append(sha256)
        if self._behaviour.refuse_uploads:
            raise TooLargeError("The run's quota is used up.")
        place, _, total = request.headers["Content-Range"].removeprefix("bytes ").partition("/")
        received = self.uploads.setdefault(sha256, bytearray())
        start = 0 if place == "*" else int(place.partition("-")[0])
        self.upload_starts.append(start)
        if start != len(received):
            return web.Response(status=409, headers={"Edgeloop-Received": str(len(received))})
        async for piece in request.content.iter_any():
            received += piece
            self.uploaded_bytes += len(piece)
            if len(received) >= (self._behaviour.cut_uploads_after or sys.maxsize):
                self._behaviour.cut_uploads_after = None
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        if len(received) < int(total):
            return web.Response(status=204)
        if hashlib.sha256(received).hexdigest() != sha256:
            return web.Response(status=422, body=encode_json(BadProofError("hash").as_dict()))
        await self._on_arrival()
        return web.Response(status=201)
