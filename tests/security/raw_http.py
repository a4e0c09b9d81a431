"""Bytes on a real socket, as no HTTP client would send them."""

from __future__ import annotations

import asyncio
import re
import ssl

from daemon.device_peer import tls

SECONDS = 10.0


async def connect(port: int, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls() if secure else None)


async def answer_of(port: int, request: bytes, *, secure: bool) -> bytes:
    """Send `request` and return all that comes back until the connection ends."""
    reader, writer = await connect(port, secure=secure)
    writer.write(request)
    return await rest_of(reader, writer)


async def rest_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return what still comes; nothing when the connection is reset."""
    try:
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response in `answer`."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]
