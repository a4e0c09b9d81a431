"""The least that could stand between an editor and debugpy: bytes are passed on, and nobody reads them.

`forwarding_parts.py near|far FOLDER PORT` prints its port. `near` takes TCP and dials `PORT` by TLS, as a daemon is linked to a
device; `far` takes TLS, with the certificate of the daemon whose folder is `FOLDER`, and dials `PORT` by TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from pathlib import Path

from edgeloop_daemon.store.folders import Folders

ADDRESS = "127.0.0.1"


class Forwarder(asyncio.Protocol):
    """One side of a connection that is passed on; asyncio switches Nagle's algorithm off."""

    def __init__(self, other: Forwarder | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)


async def main(side: str, folders: Folders, port: int) -> None:
    """Pass on one connection."""
    loop = asyncio.get_running_loop()
    near, far = Forwarder(), Forwarder()
    near.other, far.other = far, near
    taking = dialling = None
    if side == "far":
        taking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        taking.load_cert_chain(folders.certificate, folders.certificate_key)
    else:
        dialling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        dialling.check_hostname = False
        dialling.verify_mode = ssl.CERT_NONE
    await loop.create_connection(lambda: far, ADDRESS, port, ssl=dialling)
    server = await loop.create_server(lambda: near, ADDRESS, 0, ssl=taking)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], Folders(Path(sys.argv[2])), int(sys.argv[3])))
