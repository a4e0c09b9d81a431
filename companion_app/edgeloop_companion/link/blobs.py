"""Blobs over the device port: missing ones down, reported files up; both resume where a lost connection left off."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from edgeloop_companion.link.device_port import DevicePort, device_url, refusal
from edgeloop_companion.link.reconnect import Reconnect
from edgeloop_companion.runtime.storage import BlobStore, PartialBlob
from edgeloop_shared.errors import (
    ConflictError,
    DaemonUnreachableError,
    EdgeloopError,
    NotPairedError,
    StorageBusyError,
    StorageFullError,
    TransferError,
    UnauthorizedError,
)
from edgeloop_shared.write_behind import WriteBehind

_PIECE = 256 * 1024
MAX_DISAGREEMENTS = 3
MAX_FRUITLESS = 6  # attempts in a row on a living link that brought no byte
NO_ROOM_SECONDS = 2.0  # until a computer whose disk is full is asked again
BLOB_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=30)
RECEIVED_HEADER = "Edgeloop-Received"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)\Z")

OnBytes = Callable[[int], None]
"""Told how many bytes have newly arrived; negative when bytes had to be thrown away."""


class BlobClient:
    """Transfers during one link: its bearer dies with it."""

    def __init__(self, port: DevicePort, address: str, number: int, bearer: str) -> None:
        self._port = port
        self._address, self._number = address, number
        self._headers = {"Authorization": f"Bearer {bearer}"}

    def _url(self, sha256: str) -> str:
        return device_url(self._address, self._number, f"/v1/blob/{sha256}")

    async def download(self, blob: PartialBlob, sha256: str, on_bytes: OnBytes) -> None:
        """Append what is missing of `blob`. Raises `DaemonUnreachableError` with the bytes so far kept."""
        headers = dict(self._headers)
        if blob.received:
            headers["Range"] = f"bytes={blob.received}-"
        async with self._port.request("GET", self._url(sha256), headers=headers, timeout=BLOB_TIMEOUT) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise TransferError(f"The daemon sent blob {sha256[:12]} encoded; blobs travel as they are.")
            if blob.received and response.status != 206:
                on_bytes(-blob.received)
                blob.restart()
            elif blob.received:
                begun = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
                if begun is None or int(begun[1]) != blob.received:
                    raise TransferError(f"The daemon sent another part of blob {sha256[:12]} than was asked for.")
            incoming, told = WriteBehind(blob.write), blob.received
            try:
                async for chunk, _ in response.content.iter_chunks():  # without the copy of `iter_any`
                    await incoming.add(chunk)
                    if (stored := blob.received) != told:
                        on_bytes(stored - told)
                        told = stored
            finally:  # also what came before the connection was lost
                await incoming.close()
                on_bytes(blob.received - told)

    async def upload(self, file: Path, sha256: str, size: int) -> None:
        """Send what the daemon lacks of `file`, in one request: it keeps what came of one that was cut off.

        Raises `TransferError` when it refuses the bytes.
        """
        url = self._url(sha256)
        async with self._port.request("HEAD", url, headers=self._headers, accept=(404,)) as response:
            sent = _received(response, size) if response.status < 400 else 0
        disagreements = 0
        content = memoryview(await asyncio.to_thread(_map, file))
        while sent < size or not size:
            rest = content[sent:]
            content_range = f"bytes {sent}-{size - 1}/{size}" if rest else f"bytes */{size}"
            headers = {**self._headers, "Content-Range": content_range, "Content-Type": "application/octet-stream"}
            async with self._port.request(
                "PUT", url, headers=headers, body=_Rest(rest), accept=(409,), timeout=BLOB_TIMEOUT
            ) as response:
                if response.status == 201:
                    return
                if response.status != 409:
                    raise TransferError(f"The daemon did not confirm blob {sha256[:12]} although all of it was sent.")
                disagreements += 1  # it holds another part than we thought: go on from there
                if RECEIVED_HEADER not in response.headers or disagreements > MAX_DISAGREEMENTS:
                    raise await refusal(response)
                sent = _received(response, size)


class Transfers:
    """Transfers of one daemon that outlive its links: each waits for a link, and goes on with the next one.

    `daemon` is a name for it, that no other has.
    """

    def __init__(self, store: BlobStore, daemon: str) -> None:
        self.store = store
        self._daemon = daemon
        self._client: BlobClient | None = None
        self._changed = asyncio.Event()
        self._attempts: set[asyncio.Task[bool]] = set()
        self._fetching: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def through(self, client: BlobClient) -> AsyncIterator[None]:
        """Use `client` inside the block, which lasts as long as its link; what is under way at its end is interrupted."""
        self._switch(client)
        try:
            yield
        finally:
            self._switch(None)
            # aiohttp would leave the reader of a body waiting for ever when its session is closed under it.
            attempts = tuple(self._attempts)
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def fetch(self, sha256: str, size: int, on_bytes: OnBytes) -> None:
        """Bring a blob into the store unless it is there. Raises `TransferError` and what the daemon refuses with."""
        lock = self._fetching.setdefault(sha256, asyncio.Lock())  # two tasks may need the same blob
        async with lock:
            if await asyncio.to_thread(self.store.has, sha256, size):
                on_bytes(size)
                return
            blob = await self._open(sha256, size)
            try:
                on_bytes(blob.received)
                await self._fetch(blob, sha256, size, on_bytes)
            finally:
                blob.close()
        self._fetching.pop(sha256, None)

    async def _open(self, sha256: str, size: int) -> PartialBlob:
        """Open the blob in a thread; who is cancelled meanwhile leaves no open file behind."""
        opening = asyncio.create_task(asyncio.to_thread(PartialBlob, self.store, sha256, size, self._daemon))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                (await opening).close()
            raise

    async def _fetch(self, blob: PartialBlob, sha256: str, size: int, on_bytes: OnBytes) -> None:
        resumed = blob.resumed

        async def attempt(client: BlobClient) -> bool:
            before = blob.received
            try:
                if blob.received < size or not size:
                    await client.download(blob, sha256, on_bytes)
            except DaemonUnreachableError:
                if blob.received == before:
                    raise
            if blob.received == before < size:
                raise DaemonUnreachableError(f"The daemon sent no byte of blob {sha256[:12]}.")
            return blob.received == size

        while True:
            await self._until_done(attempt)
            if await asyncio.to_thread(blob.finish):
                return
            on_bytes(-size)
            if not resumed:
                raise TransferError(
                    f"The bytes of blob {sha256[:12]} are not the announced ones.",
                    hint="A file may have changed on the computer while it was sent: run again.",
                    details={"sha256": sha256},
                )
            resumed = False  # the earlier part may have been spoiled on this device: once more from the start

    async def upload(self, sha256: str, size: int) -> None:
        """Send a blob of the store to the daemon. Raises `TransferError` and what the daemon refuses with.

        A daemon whose disk is full is waited for, as long as that takes: the file is safe here.
        """

        async def attempt(client: BlobClient) -> bool:
            try:
                await client.upload(self.store.path(sha256), sha256, size)
            except (StorageBusyError, StorageFullError):
                await asyncio.sleep(NO_ROOM_SECONDS)
                return False
            return True

        await self._until_done(attempt)

    async def _until_done(self, attempt: Callable[[BlobClient], Coroutine[Any, Any, bool]]) -> None:
        """Repeat `attempt` over this and later links until it says that it is done."""
        reconnect = Reconnect()
        while True:
            while self._client is None:
                await self._changed.wait()
            client = self._client
            try:
                done = await self._interruptible(attempt(client))
                if done:
                    return
                if done is None:
                    continue
                reconnect = Reconnect()
            except (ConflictError, DaemonUnreachableError, NotPairedError, UnauthorizedError) as error:
                # A conflict: the daemon has not noticed yet that an earlier connection with this blob is gone.
                if self._client is not client:
                    continue  # the link went with it
                if reconnect.failures >= MAX_FRUITLESS:
                    raise _gave_up(error) from error
                await self._pause(reconnect.delay())

    async def _interruptible(self, attempt: Coroutine[Any, Any, bool]) -> bool | None:
        """Return what `attempt` returns, or None when its link has ended meanwhile."""
        task = asyncio.create_task(attempt)
        self._attempts.add(task)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:  # the run itself is cancelled
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._attempts.discard(task)
        return None if task.cancelled() else task.result()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than this link lives."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _switch(self, client: BlobClient | None) -> None:
        self._client = client
        self._changed.set()
        self._changed = asyncio.Event()


def _gave_up(error: EdgeloopError) -> TransferError:
    return TransferError(f"A blob could not be transferred: {error.message}", hint=error.hint)


def _received(response: aiohttp.ClientResponse, size: int) -> int:
    text = response.headers.get(RECEIVED_HEADER, "0")
    if not text.isdigit() or int(text) > size:
        raise TransferError(f"The daemon claims to hold {text[:32]!r} bytes of a blob of {size}.")
    return int(text)


def _map(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as source:
        return mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) if file.stat().st_size else b""


class _Rest(aiohttp.Payload):
    """The rest of a mapped file as a request's body: from the mapping straight into TLS, a piece at a time."""

    _autoclose = True  # there is nothing to close

    def __init__(self, rest: memoryview) -> None:
        super().__init__(rest)
        self._rest = rest
        self._size = len(rest)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the rest as text, which aiohttp asks for when it has to show a body."""
        return bytes(self._rest).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the rest; aiohttp calls it again when it sends a request a second time."""
        for start in range(0, len(self._rest), _PIECE):
            await writer.write(self._rest[start : start + _PIECE])
            await asyncio.sleep(0)  # so that a lost connection is noticed, instead of all the rest being written to it
