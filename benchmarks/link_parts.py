"""The other side of `link.py`: a raw TLS socket, or the device port with a user that plays with frames.

`link_parts.py raw|framed FOLDER` prints its port, where it shows the certificate of the daemon whose folder is `FOLDER`. The
device port is in the event loop that the daemon runs in, the raw socket in Python's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from aiohttp import WSMsgType, web

from edgeloop_daemon.devices.blob_transfers import BlobTransfers
from edgeloop_daemon.devices.certificate import Certificate, load_or_create_certificate
from edgeloop_daemon.devices.connections import ConnectionServer
from edgeloop_daemon.devices.device_port import DevicePort
from edgeloop_daemon.devices.link import Proved
from edgeloop_daemon.devices.links import Links
from edgeloop_daemon.devices.pairing import Pairing
from edgeloop_daemon.devices.registry import PairedDevice, Registry
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import event_loop
from edgeloop_shared.messages import Welcome, encode_message
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.proofs import KEY_BYTES

ADDRESS = "127.0.0.1"
PIECE = 1024 * 1024
FRAME = 64 * 1024
LENGTH = struct.Struct("!I")
DEVICE = PairedDevice("d1", bytes(KEY_BYTES), DeviceInfo("b", "b", "b", "b", 1, 1, "1", "3"), 0.0, None)


class RawProtocol(asyncio.StreamReaderProtocol):
    """A connection of asyncio's streams that can throw bytes away as they come, which is quicker than any stream reader."""

    def __init__(self, serve: Callable[[RawProtocol], Awaitable[None]] | None = None) -> None:
        self.reader = asyncio.StreamReader(limit=PIECE)
        super().__init__(self.reader, None if serve is None else self._serve)
        self.writer: asyncio.StreamWriter
        self._serving = serve
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    async def _serve(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        assert self._serving is not None
        with contextlib.suppress(ConnectionError):
            await self._serving(self)
        writer.close()

    def data_received(self, data: bytes) -> None:
        """Count what is to be thrown away."""
        if self._done is None:
            super().data_received(data)
        else:
            self._left -= len(data)
            if self._left == 0:
                self._done.set_result(None)
                self._done = None

    def discard(self, size: int) -> asyncio.Future[None]:
        """Throw away the next `size` bytes; the future is done when they have come."""
        self._left = size
        self._done = future = asyncio.get_running_loop().create_future()
        return future

    async def send(self, size: int) -> None:
        """Send `size` bytes."""
        piece = memoryview(bytes(PIECE))
        for start in range(0, size, PIECE):
            self.writer.write(piece[: min(PIECE, size - start)])
            await self.writer.drain()


async def raw(connection: RawProtocol) -> None:
    """Do what each line asks for: `get BYTES`, `put BYTES`, and frames with their length in front, `out`, `in` and `echo`."""
    reader, writer = connection.reader, connection.writer
    while line := await reader.readline():
        verb, count = line.split()
        if verb == b"get":
            await connection.send(int(count))
        elif verb == b"put":
            whole = connection.discard(int(count))
            writer.write(b"go\n")
            await whole
            writer.write(b"done\n")
        elif verb == b"out":
            frame = bytes(FRAME)
            for _ in range(int(count)):
                writer.write(LENGTH.pack(FRAME) + frame)
                await writer.drain()
        else:
            for _ in range(int(count)):
                frame = await read_frame(reader)
                if verb == b"echo":
                    writer.write(LENGTH.pack(len(frame)) + frame)
            if verb == b"in":
                writer.write(b"done\n")


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame."""
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(length)


class KnownDevice:
    """In the place of the `Registry`: it knows one device."""

    def find(self, device_id: str) -> PairedDevice | None:
        """Return the device."""
        return DEVICE if device_id == DEVICE.id else None


class Frames:
    """In the place of the `Links`: after the welcome it does with frames what the raw socket does."""

    def device_of_bearer(self, _bearer: str) -> str | None:
        """There are no blobs here."""
        return None

    async def serve(self, socket: web.WebSocketResponse, proved: Proved) -> None:
        """Obey until the link ends."""
        await socket.send_str(encode_message(Welcome(proved.version, proved.proof.hex(), "b" * 32, "host")))
        async for message in socket:
            verb, count = message.data.split()
            if verb == "out":
                frame = bytes(FRAME)
                for _ in range(int(count)):
                    await socket.send_bytes(frame)
            elif verb == "in":
                for _ in range(int(count)):
                    assert (await socket.receive()).type is WSMsgType.BINARY
                await socket.send_str("done")
            else:
                for _ in range(int(count)):
                    text = (await socket.receive()).data
                    await socket.send_str(text)


async def serve_raw(certificate: Certificate) -> None:
    """Be the raw socket."""
    await serve(lambda: RawProtocol(raw), certificate)


async def serve_frames(certificate: Certificate) -> None:
    """Be the device port."""
    port = DevicePort(
        certificate.fingerprint,
        cast("Registry", KnownDevice()),
        cast("Pairing", None),
        cast("Links", Frames()),
        cast("BlobTransfers", None),
    )
    await serve(ConnectionServer(port.handle), certificate)


async def serve(make_protocol: Callable[[], asyncio.Protocol], certificate: Certificate) -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make_protocol, ADDRESS, 0, ssl=certificate.context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main(part: str, folders: Folders) -> None:
    """Serve one of the two."""
    certificate = load_or_create_certificate(folders.certificate, folders.certificate_key)
    if part == "raw":
        asyncio.run(serve_raw(certificate))
    else:
        event_loop.run(serve_frames(certificate))


if __name__ == "__main__":
    main(sys.argv[1], Folders(Path(sys.argv[2])))
