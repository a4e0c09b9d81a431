"""What the link costs over a raw asyncio TLS 1.3 socket with the same certificate, both between two processes.

Ours are in the event loop that the daemon and the companion run in, the peer on both sides in Python's own. Blobs go through a
real daemon and the companion's own client. WebSocket frames go through the device port and the companion's link as well, but a
user of their own answers them (`link_parts.py`), so that nothing but the transport is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import secrets
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import aiohttp
from cable_parts import Cable, laid
from daemon_parts import ADDRESS, Daemon, Device, DiskOutbox, linked, running_daemon
from figures import Figure, interleaved_async, percentile, publish, ratio, spread
from link_parts import DEVICE, FRAME, LENGTH, RawProtocol, read_frame

from edgeloop_companion.link.blobs import Transfers
from edgeloop_companion.link.connection import Link, open_link
from edgeloop_companion.link.device_port import device_url
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_daemon.store.blobs import BlobStore as DaemonBlobs
from edgeloop_shared import event_loop
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.messages import RunTask
from edgeloop_shared.run_events import FileAnnounced, TaskStarted, encode_event

MIB = 1024**2
BLOB = 48 * MIB
ROUNDS = 9
FRAMES = 400
TRIPS = 200
RECONNECTS = 60
RESUMED = 40 * MIB
CUTS = 3
RESEND_BAR = 4.0  # MiB a cut

T = TypeVar("T")
There: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
"""Does in the peer's event loop what it is given."""


class Raw:
    """The peer: one TLS connection of asyncio's streams."""

    def __init__(self, connection: RawProtocol) -> None:
        self._connection = connection
        self._reader, self._writer = connection.reader, connection.writer

    async def get(self, size: int) -> float:
        """Return the MB/s of `size` bytes that come and are thrown away."""
        begin = time.perf_counter()
        whole = self._connection.discard(size)
        self._writer.write(b"get %d\n" % size)
        await whole
        return size / 1e6 / (time.perf_counter() - begin)

    async def put(self, size: int) -> float:
        """Return the MB/s of `size` bytes that go and are thrown away there."""
        begin = time.perf_counter()
        self._writer.write(b"put %d\n" % size)
        await self._reader.readline()
        await self._connection.send(size)
        await self._reader.readline()
        return size / 1e6 / (time.perf_counter() - begin)

    async def frames_in(self) -> float:
        """Return the MB/s of frames that come."""
        begin = time.perf_counter()
        self._writer.write(b"out %d\n" % FRAMES)
        for _ in range(FRAMES):
            await read_frame(self._reader)
        return FRAMES * FRAME / 1e6 / (time.perf_counter() - begin)

    async def frames_out(self) -> float:
        """Return the MB/s of frames that go."""
        frame = bytes(FRAME)
        begin = time.perf_counter()
        self._writer.write(b"in %d\n" % FRAMES)
        for _ in range(FRAMES):
            self._writer.write(LENGTH.pack(FRAME) + frame)
            await self._writer.drain()
        await self._reader.readline()
        return FRAMES * FRAME / 1e6 / (time.perf_counter() - begin)

    async def trips(self, message: bytes) -> list[float]:
        """Return the microseconds of round trips of a small message."""
        self._writer.write(b"echo %d\n" % TRIPS)
        taken = []
        for _ in range(TRIPS):
            begin = time.perf_counter()
            self._writer.write(LENGTH.pack(len(message)) + message)
            await read_frame(self._reader)
            taken.append((time.perf_counter() - begin) * 1e6)
        return taken


@contextlib.contextmanager
def peer_loop() -> Iterator[There]:
    """Run Python's own event loop in a thread for the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def there(work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    try:
        yield there
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.asynccontextmanager
async def opened_there(there: There, context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Keep `context` in the peer's event loop for the block."""
    opened = await there(context.__aenter__())
    try:
        yield opened
    finally:
        await there(context.__aexit__(None, None, None))


class Framed:
    """Ours: the WebSocket of a link."""

    def __init__(self, link: Link) -> None:
        self._socket = link._socket

    async def frames_in(self) -> float:
        """Return the MB/s of frames that come."""
        begin = time.perf_counter()
        await self._socket.send_str(f"out {FRAMES}")
        for _ in range(FRAMES):
            await self._socket.receive()
        return FRAMES * FRAME / 1e6 / (time.perf_counter() - begin)

    async def frames_out(self) -> float:
        """Return the MB/s of frames that go."""
        frame = bytes(FRAME)
        begin = time.perf_counter()
        await self._socket.send_str(f"in {FRAMES}")
        for _ in range(FRAMES):
            await self._socket.send_bytes(frame)
        await self._socket.receive()
        return FRAMES * FRAME / 1e6 / (time.perf_counter() - begin)

    async def trips(self, message: str) -> list[float]:
        """Return the microseconds of round trips of a small message in JSON."""
        await self._socket.send_str(f"echo {TRIPS}")
        taken = []
        for _ in range(TRIPS):
            begin = time.perf_counter()
            await self._socket.send_str(message)
            await self._socket.receive()
            taken.append((time.perf_counter() - begin) * 1e6)
        return taken


@contextlib.asynccontextmanager
async def raw_connection(port: int) -> AsyncIterator[Raw]:
    """Open the peer's connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(RawProtocol, ADDRESS, port, ssl=context)
    connection.writer = asyncio.StreamWriter(transport, connection, connection.reader, loop)
    try:
        yield Raw(connection)
    finally:
        connection.writer.close()
        await connection.writer.wait_closed()


async def blob_figures(daemon: Daemon, device: Device, raw: Raw, there: There) -> list[Figure]:
    """Transfer one blob of a run down, and files of it up."""
    (daemon.root / "model.bin").write_bytes(content := random.Random(0).randbytes(BLOB))
    run = await start(daemon, device, "model.bin")
    sha256 = hashlib.sha256(content).hexdigest()
    store, received = device.transfers.store, DaemonBlobs(daemon.client.folders.blobs)
    url = device_url(ADDRESS, daemon.client.get("/status")["device_port"], f"/v1/blob/{sha256}")
    bearer = {"Authorization": f"Bearer {device.bearer}"}

    async def get() -> float:
        begin, size = time.perf_counter(), 0
        async with device.port.request("GET", url, headers=bearer, timeout=aiohttp.ClientTimeout()) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        assert size == BLOB
        return BLOB / 1e6 / (time.perf_counter() - begin)

    async def fetch() -> float:
        store.path(sha256).unlink(missing_ok=True)
        begin = time.perf_counter()
        await device.transfers.fetch(sha256, BLOB, lambda _: None)
        return BLOB / 1e6 / (time.perf_counter() - begin)

    async def upload() -> float:
        content = secrets.token_bytes(32) + bytes(BLOB - 32)
        announced = await announce(device, run, content)
        begin = time.perf_counter()
        await device.transfers.upload(announced, BLOB)
        taken = time.perf_counter() - begin
        for path in (store.path(announced), received.path(announced)):
            path.unlink()  # as `fetch` does: memory that a virtual machine has never used takes four times as long to write to
        return BLOB / 1e6 / taken

    down = await interleaved_async(ROUNDS, {"get": get, "raw": lambda: there(raw.get(BLOB)), "fetch": fetch})
    up = await interleaved_async(ROUNDS, {"upload": upload, "raw": lambda: there(raw.put(BLOB))})
    return [
        ratio("blob GET", 0.8, down["get"], down["raw"], unit="MB_per_s", better="more", of=max),
        ratio("blob GET, stored and hashed", 0.4, down["fetch"], down["raw"], unit="MB_per_s", better="more", of=max),
        ratio("blob PUT, stored and hashed", 0.4, up["upload"], up["raw"], unit="MB_per_s", better="more", of=max),
    ]


async def start(daemon: Daemon, device: Device, *include: str) -> str:
    """Start a run on the device and let it say that its script has begun."""
    (daemon.root / "task.py").write_text("")
    run = await asyncio.to_thread(daemon.start_run, "task.py", device.id, *include)
    command = await device.commands.get()
    assert isinstance(command, RunTask)
    assert command.run_id == run
    await device.outbox.append(f"{run}.events", encode_event(TaskStarted(0)))
    return run


async def announce(device: Device, run: str, content: bytes) -> str:
    """Report a file of the run and return its SHA-256; the daemon knows of it then."""
    sha256 = hashlib.sha256(content).hexdigest()
    device.transfers.store.path(sha256).write_bytes(content)
    event = encode_event(FileAnnounced(f"{sha256}.bin", sha256, len(content)))
    number = await device.outbox.append(f"{run}.events", event)
    await device.outbox.stored(f"{run}.events", number)
    return sha256


async def frame_figures(framed: Framed, raw: Raw, there: There) -> list[Figure]:
    """Send large frames both ways and small ones there and back."""
    down = await interleaved_async(ROUNDS, {"ours": framed.frames_in, "raw": lambda: there(raw.frames_in())})
    up = await interleaved_async(ROUNDS, {"ours": framed.frames_out, "raw": lambda: there(raw.frames_out())})
    message = json.dumps({"type": "command_result", "command_id": "r" * 20, "error": None})
    ours: list[list[float]] = []
    theirs: list[list[float]] = []

    async def our_trips() -> float:
        ours.append(await framed.trips(message))
        return 0.0

    async def raw_trips() -> float:
        theirs.append(await there(raw.trips(message.encode())))
        return 0.0

    await interleaved_async(2 * ROUNDS, {"ours": our_trips, "raw": raw_trips})

    def trip(name: str, bar: float, percent: int) -> Figure:
        mine = [percentile(taken, percent) for taken in ours[1:]]
        other = [percentile(taken, percent) for taken in theirs[1:]]
        return ratio(name, bar, mine, other, unit="us")

    return [
        ratio("64 KiB frames to the device", 0.75, down["ours"], down["raw"], unit="MB_per_s", better="more", of=max),
        ratio("64 KiB frames to the daemon", 0.75, up["ours"], up["raw"], unit="MB_per_s", better="more", of=max),
        trip("small round trip, p50", 1.15, 50),
        trip("small round trip, p99", 2.0, 99),
    ]


async def reconnect_figure(pairing: Pairing, store: BlobStore, raw_port: int, there: There) -> Figure:
    """Link anew again and again: TCP, TLS, both proofs, the introduction and the positions."""

    outbox = DiskOutbox(Path(tempfile.mkdtemp(dir=store.path("").parent)))  # as an app that goes on has it

    async def reconnect() -> float:
        begin = time.perf_counter()
        async with linked(pairing, store, outbox=outbox):
            return (time.perf_counter() - begin) * 1e3

    async def connect() -> float:
        begin = time.perf_counter()
        async with raw_connection(raw_port):
            return (time.perf_counter() - begin) * 1e3

    taken = await interleaved_async(RECONNECTS, {"ours": reconnect, "raw": lambda: there(connect())}, warm_up=3)
    middle = percentile(taken["ours"], 50)
    measured = {"p99_ms": percentile(taken["ours"], 99), "raw_TLS_connect_p50_ms": percentile(taken["raw"], 50)}
    return Figure("reconnect, p50", middle, 10.0, unit="ms", spread=spread(taken["ours"]), measured=measured)


async def resume_figures(daemon: Daemon, pairing: Pairing, store: BlobStore) -> list[Figure]:
    """Pull the cable out a few times in each direction; what is carried beyond the file itself was sent again, or is TLS."""
    outbox, transfers = DiskOutbox(Path(tempfile.mkdtemp(dir=store.path("").parent))), Transfers(store, "benchmark")
    devices: asyncio.Queue[Device] = asyncio.Queue()

    async def stay_linked(through_cable: Pairing) -> None:
        while True:
            with contextlib.suppress(EdgeloopError):
                async with linked(through_cable, store, outbox=outbox, transfers=transfers) as device:
                    devices.put_nowait(device)
                    await asyncio.wait({device.ended})

    async def sent_again(cable: Cable, transfer: Coroutine[Any, Any, None]) -> float:
        before = cable.carried
        cable.cuts = [before + RESUMED * number // (CUTS + 1) for number in range(CUTS, 0, -1)]
        await transfer
        assert not cable.cuts
        return (cable.carried - before - RESUMED) / MIB / CUTS

    async with laid(pairing.port) as cable:
        staying = asyncio.create_task(stay_linked(replace(pairing, port=cable.port)))
        try:
            device = await devices.get()
            (daemon.root / "model.bin").write_bytes(content := secrets.token_bytes(RESUMED))
            run = await start(daemon, device, "model.bin")
            sha256 = hashlib.sha256(content).hexdigest()
            down = await sent_again(cable, transfers.fetch(sha256, RESUMED, lambda _: None))
            sha256 = await announce(device, run, secrets.token_bytes(RESUMED))
            up = await sent_again(cable, transfers.upload(sha256, RESUMED))
        finally:
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
    measured = {"file_MiB": RESUMED / MIB, "cuts": CUTS}
    return [
        Figure("sent again after a cut, GET", down, RESEND_BAR, unit="MiB", measured=measured),
        Figure("sent again after a cut, PUT", up, RESEND_BAR, unit="MiB", measured=measured),
    ]


async def measure_all(daemon: Daemon, raw_port: int, framed_port: int, there: There) -> list[Figure]:
    """Return all figures."""
    store = BlobStore(daemon.folder / "device" / "blobs")
    (pairing,) = daemon.pairings
    frames = Pairing(DEVICE.id, DEVICE.key.hex(), pairing.fingerprint, (ADDRESS,), framed_port, "host")
    async with opened_there(there, raw_connection(raw_port)) as raw:
        async with linked(pairing, store) as device:
            figures = await blob_figures(daemon, device, raw, there)
        async with open_link(frames, ADDRESS) as link:
            figures += await frame_figures(Framed(link), raw, there)
    figures.append(await reconnect_figure(pairing, store, raw_port, there))
    return figures + await resume_figures(daemon, pairing, store)


@contextlib.contextmanager
def other_side(part: str, folder: Path) -> Iterator[int]:
    """Run a part of `link_parts.py` for the block and yield its port."""
    command = [sys.executable, str(Path(__file__).with_name("link_parts.py")), part, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate()


def measure() -> Sequence[Figure]:
    """Start the daemon and the processes of the other side, and measure."""
    with running_daemon() as daemon, peer_loop() as there:
        folder = daemon.client.folders.root
        with other_side("raw", folder) as raw_port, other_side("framed", folder) as framed_port:
            return event_loop.run(measure_all(daemon, raw_port, framed_port, there))


if __name__ == "__main__":
    publish("link", measure)
