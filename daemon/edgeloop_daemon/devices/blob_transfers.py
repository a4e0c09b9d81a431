"""Blobs on the device port: bundles go out, reported files come in, both by content and resumable."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from edgeloop_daemon.devices.incoming_file import IncomingFile
from edgeloop_daemon.devices.run_files import RunFiles
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_shared.errors import ConflictError, MessageError, NotFoundError, TransferError

RECEIVED_HEADER = "Edgeloop-Received"
SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class _Part:
    start: int
    end: int  # exclusive
    total: int


class BlobTransfers:
    """Transfers of authenticated devices. A device reads what its runs consist of, and writes what it has announced."""

    def __init__(self, blobs: BlobStore, files: RunFiles) -> None:
        self._blobs = blobs
        self._files = files
        self._writing: set[tuple[str, str]] = set()

    async def download(self, request: web.BaseRequest, device_id: str, sha256: str) -> web.StreamResponse:
        """Answer a GET, whole or from `Range` on. Raises `NotFoundError` for what this device may not read."""
        if not self._files.may_read(device_id, sha256):
            raise _unknown(sha256)
        content = await asyncio.to_thread(lambda: _map(self._blobs.open_path(sha256)))
        size = len(content)
        start, end = _range(request, size)
        response = web.StreamResponse(status=206 if "Range" in request.headers else 200)
        response.content_type = "application/octet-stream"
        response.content_length = end - start
        response.headers["Accept-Ranges"] = "bytes"
        if response.status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        await response.prepare(request)
        # From the mapping straight into TLS. It is not closed here: the transport may still hold its last piece.
        view = memoryview(content)
        for position in range(start, end, _PIECE):
            await response.write(view[position : min(position + _PIECE, end)])
        await response.write_eof()
        return response

    async def received(self, device_id: str, sha256: str) -> web.Response:
        """Answer a HEAD: how many bytes of an announced file are here. Raises `NotFoundError`."""
        size = self._announced(device_id, sha256)
        count = await asyncio.to_thread(self._count, device_id, sha256, size)
        if (
            0 < count == size
            and not self._files.has_received(device_id, sha256)
            and (device_id, sha256) not in self._writing
        ):
            count = await self._complete_late(device_id, sha256, size)
        return web.Response(headers={RECEIVED_HEADER: str(count)})

    async def upload(self, request: web.BaseRequest, device_id: str, sha256: str) -> web.Response:
        """Answer a PUT of the next bytes of an announced file: 204, or 201 when it is whole and has the announced hash.

        Raises `NotFoundError`, `MessageError`, `ConflictError` for two uploads of one file at once.
        """
        size = self._announced(device_id, sha256)
        part = _content_range(request)
        if part.total != size or part.end > size:
            raise MessageError(f"The upload of {sha256[:12]} does not fit the {size} bytes that were announced.")
        key = (device_id, sha256)
        if key in self._writing:
            raise ConflictError(f"Another request uploads {sha256[:12]} right now.")
        self._writing.add(key)
        try:
            return await self._receive(request, device_id, sha256, part)
        finally:
            self._writing.discard(key)

    async def _complete_late(self, device_id: str, sha256: str, size: int) -> int:
        """Complete a file whose last byte came when an earlier daemon was killed: the device has nothing more to send."""
        self._writing.add((device_id, sha256))
        try:
            await asyncio.to_thread(self._blobs.complete, sha256, device_id)
        except TransferError:
            return 0
        finally:
            self._writing.discard((device_id, sha256))
        await self._files.file_received(device_id, sha256)
        return size

    async def _receive(self, request: web.BaseRequest, device_id: str, sha256: str, part: _Part) -> web.Response:
        count = await asyncio.to_thread(self._count, device_id, sha256, part.total)
        if part.start != count:
            error = ConflictError(f"The upload of {sha256[:12]} goes on at {count}, not at {part.start}.")
            response = web.json_response(error.as_dict(), status=409, content_type="application/problem+json")
            response.headers[RECEIVED_HEADER] = str(count)
            return response
        partial = await asyncio.to_thread(self._blobs.partial, sha256, device_id)
        incoming = IncomingFile(partial, hashlib.sha256() if count == 0 else None)
        expected = part.end - part.start
        try:
            async for piece, _ in request.content.iter_chunks():  # without the copy of `iter_any`
                expected -= len(piece)
                if expected < 0:
                    raise MessageError(f"The upload of {sha256[:12]} holds more bytes than its Content-Range says.")
                await incoming.add(piece)
        finally:  # also what came before the connection was lost
            await incoming.close()
        if expected:
            raise MessageError(f"The upload of {sha256[:12]} holds fewer bytes than its Content-Range says.")
        if part.end < part.total:
            return web.Response(status=204, headers={RECEIVED_HEADER: str(part.end)})
        await asyncio.to_thread(self._blobs.complete, sha256, device_id, incoming.digest)
        await self._files.file_received(device_id, sha256)
        return web.Response(status=201)

    def _announced(self, device_id: str, sha256: str) -> int:
        size = self._files.announced_size(device_id, sha256)
        if size is None:
            raise _unknown(sha256)
        return size

    def _count(self, device_id: str, sha256: str, size: int) -> int:
        # A blob that another device brought does not count: who announces its hash has yet to show its bytes.
        if self._files.has_received(device_id, sha256):
            return size
        partial = self._blobs.partial(sha256, device_id)
        try:
            count = partial.stat().st_size
        except FileNotFoundError:  # also when another request has completed it just now
            return 0
        if count > size:
            partial.unlink()
            count = 0
        return count


def _map(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _range(request: web.BaseRequest, size: int) -> tuple[int, int]:
    text = request.headers.get("Range")
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text)
    start = int(match[1]) if match else 0
    end = min(int(match[2]) + 1, size) if match and match[2] else size
    if match is None or start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _content_range(request: web.BaseRequest) -> _Part:
    match = _CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
    if match is None:
        raise MessageError("An upload needs `Content-Range: bytes A-B/TOTAL`, or `bytes */0` for an empty file.")
    total = int(match[3])
    part = _Part(0, 0, total) if match[1] is None else _Part(int(match[1]), int(match[2]) + 1, total)
    if part.end < part.start or (part.end == part.start and total):
        raise MessageError("The Content-Range of an upload names no bytes.")
    return part


def _unknown(sha256: str) -> NotFoundError:
    return NotFoundError(f"The blob {sha256[:12]} is not part of a run of this device.")
