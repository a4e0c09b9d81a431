"""Channels on the daemon, with a device that does what each test asks of it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import SECONDS, Identity, Link, link

from edgeloop_daemon.devices.channels import Channel, ChannelState
from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.channels import (
    MAX_CHANNEL_PAYLOAD,
    WINDOW,
    ChannelFrame,
    pack_channel_frame,
    pack_ending,
    unpack_channel_frame,
)
from edgeloop_shared.errors import (
    ConflictError,
    DeviceUnavailableError,
    DeviceVanishedError,
    EdgeloopError,
    MessageError,
    NotFoundError,
    RateLimitedError,
)
from edgeloop_shared.messages import MAX_CHANNELS, OpenChannel, ResumeChannels, RunTask


class Worker:
    """The device's end of a channel, by hand."""

    def __init__(self, live: Link, channel: str) -> None:
        self.live = live
        self.channel = channel
        self.sent = 0

    async def say(self, payload: bytes, *, received: int = 0, ends: bool = False) -> None:
        frame = ChannelFrame(self.channel, self.sent, received, payload, ends)
        await self.live.socket.send_bytes(pack_channel_frame(frame))
        self.sent += 1 if ends else len(payload)

    async def frame(self) -> ChannelFrame:
        """Return the next frame that the daemon sends."""
        while True:
            frame = await self.live.socket.receive(SECONDS)
            if frame.type is aiohttp.WSMsgType.BINARY:
                return unpack_channel_frame(frame.data)
            assert frame.type is aiohttp.WSMsgType.TEXT, self.live.socket.close_code


async def begun(daemon: DeviceDaemon, linked: Link) -> Run:
    run = await daemon.runs.start(daemon.workspace, "task.py", debug="wait")
    command = await linked.accept()
    assert command.debug == "wait"
    return run


async def opened(
    daemon: DeviceDaemon, linked: Link, run: Run, lost_seconds: float = 600.0
) -> tuple[AbstractAsyncContextManager[Channel], Channel, Worker]:
    """Open a channel whose worker is ready."""
    block = daemon.channels.open(run.id, lost_seconds=lost_seconds)
    entering = asyncio.create_task(block.__aenter__())
    command = await linked.receive(OpenChannel)
    assert (command.run_id, command.purpose, command.lost_seconds) == (run.id, "debugger", lost_seconds)
    worker = Worker(linked, command.channel)
    await worker.say(b"{}\nhello")
    return block, await entering, worker


class TestOpening:
    """What becomes of the wish for a channel."""

    async def test_it_opens_once_the_worker_has_answered_and_carries_what_follows(
        self, daemon: DeviceDaemon, linked: Link
    ) -> None:
        block, channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        assert await channel.receive() == b"hello"
        await channel.send(b"and back")
        assert (await worker.frame()).payload == b"and back"
        await block.__aexit__(None, None, None)
        assert (await worker.frame()).ends
        assert channel.state is ChannelState.ENDED
        assert channel.end is None

    async def test_a_listener_hears_what_has_come_what_comes_and_that_it_ends(
        self, daemon: DeviceDaemon, linked: Link
    ) -> None:
        block, channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        listening = asyncio.create_task(channel.listen(pieces.put_nowait))
        assert await pieces.get() == b"hello"
        await worker.say(b"there")
        assert await pieces.get() == b"there"
        await block.__aexit__(None, None, None)
        await listening
        assert pieces.empty()

    async def test_a_listener_that_fails_hears_no_more_and_the_link_stays(
        self, daemon: DeviceDaemon, linked: Link
    ) -> None:
        block, channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        pieces: list[bytes] = []

        def refuse(data: bytes) -> None:
            pieces.append(data)
            raise MessageError("That was no message.")

        with pytest.raises(MessageError, match="no message"):
            await channel.listen(refuse)
        await worker.say(b"more")
        assert await channel.receive() == b"more"
        assert pieces == [b"hello"]
        assert channel.state is ChannelState.OPEN
        await block.__aexit__(None, None, None)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (b'{"code":"conflict","message":"Taken."}\n', ConflictError),
            (b'{"code":"never-heard-of","message":"x"}\n', EdgeloopError),
            (b"[1]\n", MessageError),
            (b"\xff\n", MessageError),
            (b'{"a":' * 10_000 + b"\n", MessageError),
            (b"x" * MAX_CHANNEL_PAYLOAD, MessageError),
        ],
    )
    async def test_another_answer_is_an_error(
        self, daemon: DeviceDaemon, linked: Link, answer: bytes, kind: type[EdgeloopError]
    ) -> None:
        run = await begun(daemon, linked)
        entering = asyncio.create_task(daemon.channels.open(run.id).__aenter__())
        worker = Worker(linked, (await linked.receive(OpenChannel)).channel)
        await worker.say(answer)
        if len(answer) == MAX_CHANNEL_PAYLOAD:
            await worker.say(answer)
        with pytest.raises(kind):
            await entering
        assert (await worker.frame()).ends

    async def test_a_device_that_cannot_get_so_far_says_why(self, daemon: DeviceDaemon, linked: Link) -> None:
        run = await begun(daemon, linked)
        entering = asyncio.create_task(daemon.channels.open(run.id).__aenter__())
        worker = Worker(linked, (await linked.receive(OpenChannel)).channel)
        await worker.say(pack_ending(NotFoundError("The run has ended.")), ends=True)
        with pytest.raises(NotFoundError, match="The run has ended"):
            await entering

    async def test_a_run_that_is_at_work_nowhere_and_a_device_that_is_away(
        self, daemon: DeviceDaemon, phone: Identity
    ) -> None:
        async with link(phone) as live:
            run = await begun(daemon, live)
            with pytest.raises(NotFoundError, match="not at work"):
                await daemon.channels.open("r0").__aenter__()
            live.cut()
            await daemon.unlinked()
        with pytest.raises(DeviceUnavailableError):
            await daemon.channels.open(run.id).__aenter__()

    async def test_there_is_a_bound(self, daemon: DeviceDaemon, linked: Link) -> None:
        run = await begun(daemon, linked)
        entering = [asyncio.create_task(daemon.channels.open(run.id).__aenter__()) for _ in range(MAX_CHANNELS)]
        for _ in entering:
            await linked.receive(OpenChannel)
        with pytest.raises(RateLimitedError):
            await daemon.channels.open(run.id).__aenter__()
        for one in entering:
            one.cancel()
        await asyncio.gather(*entering, return_exceptions=True)


class TestHostileDevice:
    """What breaks the protocol ends the link."""

    @pytest.mark.parametrize(
        "frames",
        [
            [ChannelFrame("unknown", 0, 0, b"x")],
            [ChannelFrame("", 0, 0, b"x")],
            [ChannelFrame("open", 9, 0, b"x")],
            [ChannelFrame("open", 8, 1)],
            [ChannelFrame("open", 8, 0, b"nonsense", ends=True)],
            [ChannelFrame("open", 8, 0, b"", ends=True), ChannelFrame("open", 9, 0, b"x")],
        ],
    )
    async def test_frames_that_cannot_be(self, daemon: DeviceDaemon, linked: Link, frames: list[ChannelFrame]) -> None:
        _block, _channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        assert worker.sent == 8
        for frame in frames:
            name = worker.channel if frame.channel == "open" else frame.channel
            packed = ChannelFrame(name, frame.offset, frame.received, frame.payload, frame.ends)
            await linked.socket.send_bytes(pack_channel_frame(packed))
        assert await closed(linked) == 1002

    async def test_a_flood_that_nobody_reads(self, daemon: DeviceDaemon, linked: Link) -> None:
        _block, channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        for _ in range(WINDOW // MAX_CHANNEL_PAYLOAD + 1):
            await worker.say(bytes(MAX_CHANNEL_PAYLOAD))
        assert await closed(linked) == 1002
        assert len(await channel.receive()) <= WINDOW

    async def test_who_does_not_acknowledge_stops_the_sender_at_the_window(
        self, daemon: DeviceDaemon, linked: Link
    ) -> None:
        _block, channel, worker = await opened(daemon, linked, await begun(daemon, linked))
        sending = asyncio.create_task(channel.send(bytes(2 * WINDOW)))
        got = 0
        while got < WINDOW:
            got += len((await worker.frame()).payload)
        assert not sending.done()
        await worker.say(b"", received=WINDOW)
        while got < 2 * WINDOW:
            got += len((await worker.frame()).payload)
        await sending

    @pytest.mark.parametrize("position", [5, 2**62])
    async def test_a_device_that_claims_more_than_was_sent(
        self, daemon: DeviceDaemon, phone: Identity, position: int
    ) -> None:
        async with link(phone) as live:
            run = await begun(daemon, live)
            _block, channel, worker = await opened(daemon, live, run)
            live.cut()
            await channel.changed(ChannelState.OPEN)
        with pytest.raises(AssertionError, match="the link ended with 1002"):
            async with link(phone, runs=(run.id,), channels={worker.channel: position}) as live:
                await live.receive(ResumeChannels)


class TestLostLinks:
    """A channel outlives its link."""

    async def test_both_directions_go_on_where_they_were(self, daemon: DeviceDaemon, phone: Identity) -> None:
        async with link(phone) as live:
            run = await begun(daemon, live)
            _block, channel, worker = await opened(daemon, live, run)
            await channel.send(b"one")
            assert (await worker.frame()).payload == b"one"
            await channel.send(b"two")
            live.cut()
            assert await channel.changed(ChannelState.OPEN) is ChannelState.LINK_LOST
        await channel.send(b"three")
        async with link(phone, runs=(run.id,), channels={worker.channel: 3, "forgotten": 9}) as live:
            resumed = await live.receive(ResumeChannels)
            assert resumed.positions == {worker.channel: 8}
            assert await channel.changed(ChannelState.LINK_LOST) is ChannelState.OPEN
            back = Worker(live, worker.channel)
            back.sent = 8
            frame = await back.frame()
            assert (frame.offset, frame.payload) == (3, b"twothree")
            await back.say(b"!", received=11)
            said = b""
            while said != b"hello!":
                said += await channel.receive()

    async def test_a_wish_that_was_lost_with_the_link_is_repeated(self, daemon: DeviceDaemon, phone: Identity) -> None:
        async with link(phone) as live:
            run = await begun(daemon, live)
            entering = asyncio.create_task(daemon.channels.open(run.id).__aenter__())
            first = await live.receive(OpenChannel)
            live.cut()
            await daemon.unlinked()
        async with link(phone, runs=(run.id,)) as live:
            assert await live.receive(OpenChannel) == first
            await Worker(live, first.channel).say(b"{}\n")
            assert (await entering).state is ChannelState.OPEN

    async def test_an_app_that_was_started_anew_has_ended_the_channel(
        self, daemon: DeviceDaemon, phone: Identity
    ) -> None:
        async with link(phone) as live:
            run = await begun(daemon, live)
            _block, channel, _ = await opened(daemon, live, run)
            live.cut()
            await channel.changed(ChannelState.OPEN)
        async with link(phone, runs=(run.id,)):
            assert await channel.changed(ChannelState.LINK_LOST) is ChannelState.ENDED
        assert await channel.receive() == b"hello"
        assert await channel.receive() == b""
        assert isinstance(channel.end, DeviceVanishedError)
        assert "started anew" in channel.end.message
        await channel.send(b"nobody takes this")

    async def test_a_device_that_stays_away_ends_it_with_a_reason(self, tmp_path: Path) -> None:
        async with device_daemon(tmp_path) as daemon:
            (daemon.workspace.root / "task.py").write_text("print(1)")
            phone = await daemon.pair()
            async with link(phone) as live:
                run = await begun(daemon, live)
                _block, channel, worker = await opened(daemon, live, run, lost_seconds=0.1)
                live.cut()
                await channel.changed(ChannelState.OPEN)
            assert await channel.changed(ChannelState.LINK_LOST) is ChannelState.ENDED
            assert channel.end is not None
            assert channel.end.message == "The link to the device was lost for 0.1 s; the script goes on."
            async with link(phone, runs=(run.id,), channels={worker.channel: 0}) as live:
                assert (await live.receive(ResumeChannels)).positions == {}

    async def test_a_device_that_is_unpaired_ends_it(self, daemon: DeviceDaemon, linked: Link) -> None:
        _block, channel, _ = await opened(daemon, linked, await begun(daemon, linked))
        await daemon.devices.revoke(linked.identity.id)
        await channel.changed(ChannelState.LINK_LOST)
        assert channel.end is not None
        assert "unpaired" in channel.end.message

    async def test_a_run_that_is_to_be_debugged_is_repeated_as_such_by_the_next_daemon(self, tmp_path: Path) -> None:
        async with device_daemon(tmp_path) as daemon:
            (daemon.workspace.root / "task.py").write_text("print(1)")
            phone = await daemon.pair()
            async with link(phone) as live:
                await daemon.runs.start(daemon.workspace, "task.py", debug="listen")
                command = await live.receive(RunTask)
        async with device_daemon(tmp_path, port=phone.port), link(phone) as live:
            assert await live.receive(RunTask) == command
            assert command.debug == "listen"


async def closed(live: Link) -> int | None:
    """Wait for the end of a link, whatever else comes, and return its close code."""
    while True:
        frame = await live.socket.receive(SECONDS)
        if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return live.socket.close_code
