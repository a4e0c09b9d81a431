"""Channels on the device: to whom they lead, what a hostile daemon makes of them, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgeloop_companion.link.channels import Channels
from edgeloop_companion.runtime.control_socket import ControlSocket, Purpose, accept, connect
from edgeloop_companion.runtime.memory import MemoryLimit
from edgeloop_shared.channels import MAX_CHANNEL_PAYLOAD, WINDOW, ChannelEnd, ChannelFrame, pack_channel_frame
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.messages import MAX_CHANNELS, OpenChannel

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import Run

WAITS = "import pathlib, time\nprint('begun')\nwhile not pathlib.Path('stop').exists():\n    time.sleep(0.01)\n"


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer, max_workers=1):
        yield peer


def let_end(peer: LinkPeer, run: Run, tmp_path: Path) -> None:
    (files,) = (tmp_path / "state" / "hosts").glob(f"*/runs/{peer.run_id(run)}/files")
    (files / "stop").touch()


class TestLeading:
    """Where a channel leads."""

    async def test_a_channel_to_a_run_that_waits_for_a_worker_opens_when_it_has_one(
        self, peer: LinkPeer, tmp_path: Path
    ) -> None:
        first = await peer.start({"task.py": WAITS})
        await peer.until(lambda: first.text("stdout") == ["begun"])
        second = await peer.start({"task.py": WAITS})
        name = await peer.open_channel(second)
        let_end(peer, first, tmp_path)
        assert await peer.heard(name, b"\n") == b"{}\n"
        assert first.is_complete

    async def test_a_channel_to_a_run_that_ends_before_it_has_a_worker_ends(self, peer: LinkPeer) -> None:
        first = await peer.start({"task.py": WAITS})
        await peer.until(lambda: first.text("stdout") == ["begun"])
        waiting = await peer.start({"task.py": WAITS})
        name = await peer.open_channel(waiting)
        await peer.cancel(waiting)
        reason = await peer.ended(name)
        assert isinstance(reason, NotFoundError)
        assert "has ended" in reason.message

    async def test_a_run_that_is_not_here_and_a_purpose_that_nobody_knows_are_refused(self, peer: LinkPeer) -> None:
        run = await peer.start({"task.py": WAITS})
        ended = await peer.start({"task.py": WAITS})
        await peer.cancel(ended)
        await peer.until(lambda: ended.is_complete)
        assert isinstance(await peer.ended(await peer.open_channel(ended)), NotFoundError)
        answer = await peer.heard(await peer.open_channel(run, "teleport"), b"\n")
        assert b'"not-found"' in answer
        assert b"'teleport'" in answer


class TestHostileDaemon:
    """What breaks the protocol ends the link, and nothing else."""

    @pytest.mark.parametrize(
        "frame",
        [
            pack_channel_frame(ChannelFrame("unknown", 0, 0, b"x")),
            pack_channel_frame(ChannelFrame("unknown", 0, 0, ends=True)),
            b"\x02\x00\xff\x00" + bytes(16) + b"k",
            b"\x02",
            b"\x03" * 30,
        ],
    )
    async def test_a_frame_that_belongs_nowhere(self, peer: LinkPeer, frame: bytes) -> None:
        run = await peer.start({"task.py": "print('begun')\n"})
        await peer.send_raw(frame)
        await peer.linked(2)
        assert peer.close_codes[0] == 1002
        await peer.until(lambda: run.is_complete)
        assert run.text("stdout") == ["begun"]

    async def test_an_open_channel_that_skips_bytes_goes_on_over_the_next_link(
        self, peer: LinkPeer, tmp_path: Path
    ) -> None:
        run = await peer.start({"task.py": WAITS})
        name = await peer.open_channel(run)
        assert await peer.heard(name, b"\n") == b"{}\n"
        await peer.send_raw(pack_channel_frame(ChannelFrame(name, 7, 0, b"x")))
        await peer.linked(2)
        assert peer.close_codes[0] == 1002
        assert peer.hellos[1].channels == {name: 0}
        let_end(peer, run, tmp_path)
        assert await peer.ended(name) is None

    @pytest.mark.parametrize("names", [["same", "same"], [f"k{number}" for number in range(MAX_CHANNELS + 1)]])
    async def test_a_channel_twice_and_too_many(self, peer: LinkPeer, names: list[str]) -> None:
        run = await peer.start({"task.py": WAITS})
        for name in names:
            with contextlib.suppress(ConnectionError):  # it may be refused before all are sent
                await peer.send(OpenChannel(name, peer.run_id(run), "teleport"))
            peer.channels[name], peer.came[name] = ChannelEnd(name), bytearray()
            peer.channels[name].resume(0)
        await peer.linked(2)
        assert peer.close_codes[0] == 1002


class Room:
    """`Channels` with a worker that is this test: a socket."""

    def __init__(self) -> None:
        self.worker, self._theirs = socket.socketpair()
        self.worker.setblocking(False)
        self.ready = asyncio.Event()
        self.channels = Channels(self, self.ready.set)
        self.end = ChannelEnd("k1")
        self.end.resume(0)

    async def connect(self, run_id: str, purpose: str) -> socket.socket:
        assert (run_id, purpose) == ("r1", "debugger")
        self._theirs.setblocking(False)
        return self._theirs

    def open(self) -> None:
        self.channels.open(OpenChannel("k1", "r1", "debugger"))

    async def next_frame(self) -> ChannelFrame:
        """Return what the device would send next."""
        async with asyncio.timeout(30):
            while (frame := self.channels.next_frame()) is None:
                self.ready.clear()
                await self.ready.wait()
        return frame

    async def written(self, size: int) -> None:
        """Wait until the worker has been written that much, and take it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while size:
                size -= len(await loop.sock_recv(self.worker, size))


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    room.open()
    yield room
    await room.channels.close()
    room.worker.close()


class TestBackPressure:
    """Who reads slowly holds up who writes, and nobody else."""

    async def test_a_worker_that_talks_faster_than_it_is_heard_is_stopped_at_the_window(self, room: Room) -> None:
        talking = asyncio.create_task(asyncio.get_running_loop().sock_sendall(room.worker, bytes(8 * 1024**2)))
        size = 0
        while size < WINDOW:
            frame = await room.next_frame()
            assert len(frame.payload) <= MAX_CHANNEL_PAYLOAD
            size += len(room.end.take(frame))
        assert size == WINDOW
        assert room.channels.next_frame() is None
        room.end.taken(size)
        acknowledgement = room.end.next_frame()
        assert acknowledgement is not None
        room.channels.take(acknowledgement)
        assert room.end.take(await room.next_frame())
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)

    async def test_what_a_worker_does_not_read_is_not_acknowledged(self, room: Room) -> None:
        sent = 0
        while room.end.room:
            room.end.send(bytes(min(room.end.room, MAX_CHANNEL_PAYLOAD)))
            while (frame := room.end.next_frame()) is not None:
                room.channels.take(frame)
                sent += len(frame.payload)
                await asyncio.sleep(0)  # the socket takes what it can
            while (frame := room.channels.next_frame()) is not None:
                room.end.take(frame)
        assert sent > WINDOW  # the socket's own buffer took some
        await room.written(sent)
        room.end.take(await room.next_frame())
        assert room.end.room > 0


class TestControlSocket:
    """The door of a worker."""

    def test_a_path_of_any_length_leads_to_it(self, tmp_path: Path) -> None:
        folder = tmp_path / ("long" * 40)
        folder.mkdir()
        for path in (tmp_path / "control", folder / "control"):
            with served(path, {"echo": _echo}), connect(path, "echo") as connection:
                connection.setblocking(True)
                assert connection.recv(3) == b"{}\n"
                connection.sendall(b"hello")
                assert connection.recv(5) == b"hello"

    def test_another_user_gets_no_answer(self, tmp_path: Path) -> None:
        if os.getuid():
            pytest.skip("needs root, to be another user for a moment; no Debian package helps")
        with tempfile.TemporaryDirectory() as folder, served(path := Path(folder, "control"), {"echo": _echo}):
            for public in (Path(folder), path):
                public.chmod(0o777)
            os.seteuid(65534)
            try:
                said = b""
                with contextlib.suppress(ConnectionError), connect(path, "echo") as stranger:
                    said = _read_all(stranger)
            finally:
                os.seteuid(0)
            assert said == b""
            with connect(path, "echo") as connection:
                connection.setblocking(True)
                assert connection.recv(3) == b"{}\n"

    @pytest.mark.parametrize(
        "first", [b"x" * 1000, b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\n", b"\xff\xfe\n"]
    )
    def test_another_first_line_serves_nothing(self, tmp_path: Path, first: bytes) -> None:
        with served(tmp_path / "control", {"echo": _echo}):
            connection = socket.socket(socket.AF_UNIX)
            with connection:
                connection.settimeout(30)
                connection.connect(str(tmp_path / "control"))
                connection.sendall(first)
                connection.shutdown(socket.SHUT_WR)
                answer = _read_all(connection)
        assert answer == b"" or b'"not-found"' in answer


def _read_all(connection: socket.socket) -> bytes:
    """Return what is said until the end; a reset is one."""
    connection.settimeout(30)
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1000):
            said += data
    return said


def _echo(connection: socket.socket) -> None:
    accept(connection)
    while data := connection.recv(1000):
        connection.sendall(data)


@contextlib.contextmanager
def served(path: Path, purposes: dict[str, Purpose]) -> Iterator[None]:
    control = ControlSocket(path, purposes, MemoryLimit(None))
    control.start()
    try:
        yield
    finally:
        control.close()
