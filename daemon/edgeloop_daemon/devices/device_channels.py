"""Channels over the links of devices: the adapter of the port in `devices.channels`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from edgeloop_daemon.devices.channels import DEBUGGER, ChannelState
from edgeloop_daemon.store.ids import new_id
from edgeloop_shared.channels import LOST_SECONDS, ChannelEnd, ChannelFrame, read_ending
from edgeloop_shared.codec import parse_json
from edgeloop_shared.errors import (
    DeviceUnavailableError,
    DeviceVanishedError,
    EdgeloopError,
    MessageError,
    NotFoundError,
    RateLimitedError,
    error_from_dict,
)
from edgeloop_shared.messages import MAX_CHANNELS, OpenChannel, ResumeChannels

MAX_ANSWER_BYTES = 64 * 1024

FindDevice = Callable[[str], str | None]
"""Returns the device that a run is at work on, or None."""


class ChannelLink(Protocol):
    """A link as the channels over it use it."""

    def send(self, message: OpenChannel | ResumeChannels, /) -> None:
        """Put a message into the queue."""

    def wake(self) -> None:
        """Say that there are frames to send."""


class DeviceChannel:
    """A `Channel` to the worker of a run on a device."""

    def __init__(self, command: OpenChannel, device: str, wake: Callable[[], None]) -> None:
        self.command = command
        self.device = device
        self.line = ChannelEnd(command.channel)
        """Between here and the device."""
        self.is_linked = False
        self._giving_up: asyncio.TimerHandle | None = None
        self._wake = wake
        self._came = bytearray()
        self._has_ended = False
        self._end: EdgeloopError | None = None
        self._is_closed = False
        self._change = asyncio.Event()  # of the state or the room; replaced by each
        self._something_came = asyncio.Event()  # or it has ended
        self._listener: tuple[Callable[[bytes], None], asyncio.Future[None]] | None = None

    @property
    def lost_seconds(self) -> float:
        """For how long it waits for a link that is lost."""
        return self.command.lost_seconds or LOST_SECONDS

    @property
    def state(self) -> ChannelState:
        """How it is now."""
        if self._has_ended:
            return ChannelState.ENDED
        return ChannelState.OPEN if self.is_linked else ChannelState.LINK_LOST

    @property
    def end(self) -> EdgeloopError | None:
        """Why it has ended, once it has; None when it ended as it should."""
        return self._end

    async def changed(self, seen: ChannelState) -> ChannelState:
        """Return the state as soon as it is not `seen` (any more)."""
        await self._until(lambda: self.state is not seen)
        return self.state

    async def send(self, data: bytes) -> None:
        """Send bytes; wait while the other side is behind. Does nothing after the end."""
        rest = memoryview(data)
        while rest:
            await self._until(lambda: self._has_ended or self.line.room > 0)
            if self._has_ended:
                return
            now, rest = rest[: self.line.room], rest[self.line.room :]
            self.line.send(now)
            self._wake()

    async def receive(self) -> bytes:
        """Return the next bytes, as many as there are; b"" at the end."""
        while not self._has_ended and not self._came:
            await self._more()
        data = bytes(self._came)
        self._came.clear()
        self.line.taken(len(data))
        if self.line.wants_to_send:
            self._wake()
        return data

    async def listen(self, heard: Callable[[bytes], None]) -> None:
        """Have `heard` called with all bytes until the end, as they come and at once. Raises what it raises."""
        over = asyncio.get_running_loop().create_future()
        self._listener = heard, over
        try:
            self._hand_over()
            await over
        finally:
            self._listener = None

    # For `DeviceChannels`

    def take(self, frame: ChannelFrame) -> None:
        """Keep what a frame brings. Raises `MessageError`."""
        had_room = self.line.room > 0
        data = self.line.take(frame)
        if self._is_closed:
            self.line.taken(len(data))
        elif data:
            self._came += data
            self._hand_over()
        if self.line.ending_there is not None:
            self.finish(read_ending(self.line.ending_there))
        elif not had_room:
            self.notify()

    def finish(self, reason: EdgeloopError | None) -> None:
        """There will be nothing more; the first reason counts."""
        if not self._has_ended:
            self._has_ended, self._end = True, reason
            self._hand_over()
            self.notify()

    def linked(self) -> None:
        """There is a link (again)."""
        self.is_linked = True
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self.notify()

    def unlinked(self, give_up: Callable[[], None]) -> None:
        """The link is lost; `give_up` is called when it stays away for too long."""
        self.line.unlinked()
        self.is_linked = False
        self._giving_up = asyncio.get_running_loop().call_later(self.lost_seconds, give_up)
        self.notify()

    def close(self) -> None:
        """Nobody listens any more: end the channel on the device too."""
        self._is_closed = True
        self.finish(None)
        self.line.taken(len(self._came))
        self._came.clear()
        self.line.end()
        self._wake()

    def notify(self) -> None:
        """Wake everybody who waits for another state, or for room."""
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def answer(self) -> None:
        """Wait for the first line, the worker's answer. Raises the error that it is, or that ended the channel."""
        while not self._has_ended and b"\n" not in self._came and len(self._came) <= MAX_ANSWER_BYTES:
            await self._more()
        line, newline, rest = bytes(self._came).partition(b"\n")
        if not newline and self._has_ended:
            raise self._end or NotFoundError(f"Run {self.command.run_id} has ended.")
        answer = parse_json(line, max_bytes=MAX_ANSWER_BYTES)
        if not isinstance(answer, dict):
            raise MessageError("A worker's answer is no JSON object.")
        if answer:
            raise error_from_dict(answer)
        self._came[:] = rest
        self.line.taken(len(line) + 1)

    def _hand_over(self) -> None:
        """Give what has come, and the end, to whoever listens or waits."""
        if self._listener is None:
            self._something_came.set()
            return
        heard, over = self._listener
        data = bytes(self._came)
        self._came.clear()
        self.line.taken(len(data))
        if over.done():
            return
        try:
            if data:
                heard(data)
        except Exception as error:  # it is the listener's, and nothing that the link should end for
            over.set_exception(error)
        if self._has_ended and not over.done():
            over.set_result(None)

    async def _more(self) -> None:
        """Wait until more has come than has now; for the one task that receives."""
        self._something_came.clear()
        await self._something_came.wait()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._change.wait()


class DeviceChannels:
    """The open channels of all devices. Without a link each stays as it is, for its `lost_seconds` at most."""

    def __init__(self, find_device: FindDevice) -> None:
        self._find_device = find_device
        self._channels: dict[str, dict[str, DeviceChannel]] = {}
        self._links: dict[str, ChannelLink] = {}

    @asynccontextmanager
    async def open(
        self, run_id: str, purpose: str = DEBUGGER, *, lost_seconds: float = LOST_SECONDS
    ) -> AsyncIterator[DeviceChannel]:
        """Open a channel for the block, as `devices.channels.Channels.open` says."""
        device = self._find_device(run_id)
        if device is None:
            raise NotFoundError(
                f"Run {run_id} is not at work (any more).", hint="`edgeloop runs` lists those that are."
            )
        link = self._links.get(device)
        if link is None:
            raise DeviceUnavailableError(
                f"The device of run {run_id} is not linked now.", hint="Open the edgeloop app on it."
            )
        channels = self._channels.setdefault(device, {})
        if len(channels) >= MAX_CHANNELS:
            raise RateLimitedError("This device has too many channels open.", hint="Close a debugger first.")
        command = OpenChannel(new_id("k"), run_id, purpose, lost_seconds)
        channel = channels[command.channel] = DeviceChannel(command, device, lambda: self._wake(device))
        link.send(command)
        channel.line.resume(0)
        channel.is_linked = True
        try:
            await channel.answer()
            yield channel
        finally:
            channel.close()
            self._tidy(channel)

    def close(self) -> None:
        """The daemon stops: all channels have ended."""
        for channel in self._all():
            channel.finish(DeviceUnavailableError("The daemon stops.", hint="Attach again once it runs."))

    def revoked(self, device: str) -> None:
        """The device is no longer paired: its channels have ended."""
        self._drop(device, DeviceVanishedError("The device was unpaired."))

    # What the links do

    def link(self, device: str, positions: Mapping[str, int] | None, link: ChannelLink) -> None:
        """A link is there, and the device has named its channels. Raises `MessageError` for what cannot be."""
        self._links[device] = link
        there, resumed = positions or {}, {}
        for name, channel in tuple(self._channels.get(device, {}).items()):
            if name in there:
                channel.line.resume(there[name])
                resumed[name] = channel.line.received
            elif channel.line.is_untouched and not channel.line.has_ended:  # the command was lost with the link
                channel.line.resume(0)
                link.send(channel.command)
            else:
                del self._channels[device][name]
                channel.finish(DeviceVanishedError("The app on the device was started anew.", hint="Attach again."))
            channel.linked()
        if there:
            link.send(ResumeChannels(resumed))
        link.wake()

    def unlink(self, device: str, link: ChannelLink) -> None:
        """The link has gone (nothing happens when a newer one took its place)."""
        if self._links.get(device) is not link:
            return
        del self._links[device]
        for channel in self._channels.get(device, {}).values():
            channel.unlinked(functools.partial(self._give_up, channel))

    def take(self, device: str, frame: ChannelFrame) -> None:
        """Hand on what has come from a device. Raises `MessageError` for what cannot be."""
        channel = self._channels.get(device, {}).get(frame.channel)
        if channel is None:
            raise MessageError(f"A device speaks on channel {frame.channel}, which is not open.")
        channel.take(frame)
        if channel.line.wants_to_send:
            self._wake(device)
        self._tidy(channel)

    def next_frame(self, device: str) -> ChannelFrame | None:
        """Return what is to be sent to a device now, each channel in its turn; None when there is nothing."""
        channels = self._channels.get(device, {})
        for name, channel in channels.items():
            if (frame := channel.line.next_frame()) is not None:
                channels[name] = channels.pop(name)  # its peers come first next time
                self._tidy(channel)
                return frame
        return None

    def _wake(self, device: str) -> None:
        if (link := self._links.get(device)) is not None:
            link.wake()

    def _tidy(self, channel: DeviceChannel) -> None:
        if channel.line.is_over:
            self._channels.get(channel.device, {}).pop(channel.line.channel, None)

    def _give_up(self, channel: DeviceChannel) -> None:
        self._channels.get(channel.device, {}).pop(channel.command.channel, None)
        channel.finish(
            DeviceVanishedError(
                f"The link to the device was lost for {channel.lost_seconds:g} s; the script goes on.",
                hint="Attach again when the device is back.",
            )
        )

    def _drop(self, device: str, reason: EdgeloopError) -> None:
        for channel in self._channels.pop(device, {}).values():
            channel.finish(reason)

    def _all(self) -> tuple[DeviceChannel, ...]:
        return tuple(channel for channels in self._channels.values() for channel in channels.values())
