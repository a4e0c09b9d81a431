"""The channels of one daemon on this device: between the link and the control sockets of workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

from edgeloop_shared.channels import LOST_SECONDS, ChannelEnd, ChannelFrame
from edgeloop_shared.errors import DeviceVanishedError, EdgeloopError, MessageError
from edgeloop_shared.messages import MAX_CHANNELS, OpenChannel, ResumeChannels

_PIECE = 64 * 1024


class WorkerSockets(Protocol):
    """Leads to the workers of runs."""

    async def connect(self, run_id: str, purpose: str) -> socket.socket:
        """Return a connection to the run's control socket, once there is one, to which `purpose` was said.

        Raises `EdgeloopError` when there will be none.
        """


class Channels:
    """The open channels. While the link is lost they stay as they are, for as long as the daemon has said at most.

    `on_ready` is called whenever there is something to send, and in its place what `linked` is given while there is a link.
    """

    def __init__(self, workers: WorkerSockets, on_ready: Callable[[], None]) -> None:
        self._workers = workers
        self._on_ready = self._wake = on_ready
        self._channels: dict[str, _Channel] = {}

    @property
    def positions(self) -> Mapping[str, int] | None:
        """How much of each channel has come, None without any: for `Hello`."""
        return {name: channel.end.received for name, channel in self._channels.items()} or None

    def open(self, command: OpenChannel) -> None:
        """Open a channel. Raises `MessageError` for one that is there, and for too many."""
        if command.channel in self._channels or len(self._channels) >= MAX_CHANNELS:
            raise MessageError(f"The daemon opens channel {command.channel}, which cannot be.")
        channel = _Channel(command.channel, command.lost_seconds or LOST_SECONDS, self._ready)
        channel.end.resume(0)
        channel.connect(lambda: self._workers.connect(command.run_id, command.purpose))
        self._channels[command.channel] = channel

    def resume(self, there: ResumeChannels) -> None:
        """Go on, over a new link, with what the daemon still knows. Raises `MessageError`."""
        for name, channel in tuple(self._channels.items()):
            if name not in there.positions:
                self._forget(channel)
            else:
                channel.end.resume(there.positions[name])
        self._ready()

    def take(self, frame: ChannelFrame) -> None:
        """Hand on what has come. Raises `MessageError` for what cannot be."""
        channel = self._channels.get(frame.channel)
        if channel is None:
            raise MessageError(f"The daemon speaks on channel {frame.channel}, which is not open.")
        channel.take(frame)
        if channel.end.is_over:
            self._forget(channel)
        elif channel.end.wants_to_send:
            self._ready()

    def next_frame(self) -> ChannelFrame | None:
        """Return what is to be sent now, each channel in its turn; None when there is nothing."""
        for name, channel in self._channels.items():
            if (frame := channel.end.next_frame()) is not None:
                self._channels[name] = self._channels.pop(name)  # its peers come first next time
                if channel.end.is_over:
                    self._forget(channel)
                return frame
        return None

    def linked(self, wake: Callable[[], None]) -> None:
        """There is a link, which `wake` tells of something to send."""
        self._wake = wake
        for channel in self._channels.values():
            channel.linked()

    def unlinked(self) -> None:
        """The link is lost."""
        self._wake = self._on_ready
        for channel in self._channels.values():
            channel.unlinked()

    async def close(self) -> None:
        """End all channels because the app ends; what is paused goes on."""
        tasks = [channel.drop() for channel in self._channels.values()]
        self._channels.clear()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    def _ready(self) -> None:
        self._wake()

    def _forget(self, channel: _Channel) -> None:
        del self._channels[channel.end.channel]
        channel.drop()


class _Channel(asyncio.BufferedProtocol):
    """One channel, and the connection to its worker once there is one."""

    def __init__(self, name: str, lost_seconds: float, on_ready: Callable[[], None]) -> None:
        self.end = ChannelEnd(name)
        self._lost_seconds = lost_seconds
        self._giving_up: asyncio.TimerHandle | None = None
        self._on_ready = on_ready
        self._buffer = memoryview(bytearray(_PIECE))
        self._connecting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()  # for the worker, before there is a connection
        self._untaken = 0
        self._is_reading = True
        self._is_writing = False

    def connect(self, dial: Callable[[], Awaitable[socket.socket]]) -> None:
        """Begin to connect; a failure ends the channel."""

        async def connect() -> None:
            try:
                connection = await dial()
                try:
                    await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=connection)
                except BaseException:
                    connection.close()
                    raise
            except EdgeloopError as error:
                self._end(error)
            except OSError as error:
                self._end(EdgeloopError(f"The script cannot be reached: {error.strerror or error}."))

        self._connecting = asyncio.create_task(connect())

    def linked(self) -> None:
        """There is a link (again)."""
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def unlinked(self) -> None:
        """The link is lost: the channel waits for the next one, for a while."""
        self.end.unlinked()
        if self._giving_up is None:
            self._giving_up = asyncio.get_running_loop().call_later(self._lost_seconds, self._give_up)

    def drop(self) -> asyncio.Task[None] | None:
        """Let go of the worker; return the task that may still have to end."""
        self._stop_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()  # behind what was written to it
        return self._connecting

    def take(self, frame: ChannelFrame) -> None:
        """Hand a frame's bytes to the worker. Raises `MessageError`."""
        data = self.end.take(frame)
        if self.end.ending_there is not None:
            self.drop()
            return
        self._untaken += len(data)
        if self._transport is None:
            self._waiting += data
        else:
            self._write(data)
            if not self._is_reading and self.end.room:
                self._is_reading = True
                self._transport.resume_reading()

    # What asyncio says of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The worker is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._is_writing = True
        self._transport.set_write_buffer_limits(high=_PIECE)
        self._write(bytes(self._waiting))
        self._waiting.clear()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Lend no more than the window takes."""
        return self._buffer[: min(_PIECE, self.end.room)]

    def buffer_updated(self, size: int) -> None:
        """The worker has said something."""
        if self.end.has_ended:
            return
        self.end.send(self._buffer[:size])
        if not self.end.room and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()
        self._on_ready()

    def pause_writing(self) -> None:
        """The worker does not read: what comes is not acknowledged."""
        self._is_writing = False

    def resume_writing(self) -> None:
        """The worker reads again."""
        self._is_writing = True
        self._acknowledge()

    def connection_lost(self, _error: Exception | None) -> None:
        """The worker has ended, or whoever it was for."""
        self._transport = None
        self._is_writing = False
        self._end(None)

    def _give_up(self) -> None:
        reason = f"The link to the computer was lost for {self._lost_seconds:g} s; the script goes on."
        self.end.end(DeviceVanishedError(reason, hint="Attach again."))
        self.drop()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self._is_writing:
            self.end.taken(self._untaken)
            self._untaken = 0
            if self.end.wants_to_send:
                self._on_ready()

    def _end(self, reason: EdgeloopError | None) -> None:
        self.end.end(reason)
        self._on_ready()
