"""Channels: bytes both ways between the daemon and a worker on a device, over however many links it takes.

A channel is known by the id that the daemon gave it. Each direction counts its bytes from zero; its end counts as one more.
What an end sends it keeps until the other end has acknowledged it, at most `WINDOW` bytes: what is lost with a link goes
over the next one again, from where the other end says it is, so that no byte is lost or comes twice. Bytes are acknowledged
when whoever they are for has taken them, which is the back-pressure of both directions.
Frames stand beside records (`edgeloop_shared.records`) and go before them. Layout, little-endian::

    u8 kind (2), u8 flags (1: the end), u8 channel length, u8 reserved, u64 offset, u64 received, channel (ASCII), payload

`offset` counts the bytes of this direction before the payload, `received` acknowledges those of the other one. A frame
without a payload only acknowledges. The payload of the end says why, as JSON (`Ending`), or is empty.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import EdgeloopError, MessageError, error_from_dict

CHANNEL_FRAME = 2
"""The first byte of a frame; a record's is its version, 1."""
MAX_CHANNEL_PAYLOAD = 60 * 1024
WINDOW = 256 * 1024
LOST_SECONDS = 600.0
"""For which both ends keep a channel whose link is lost, unless whoever opens it says otherwise."""
MAX_LOST_SECONDS = 24 * 3600.0
MAX_ENDING_BYTES = 4096
_HEADER = struct.Struct("<BBBBQQ")
_ENDS = 1
_CHANNEL = re.compile(rb"[a-z0-9]{1,32}")
_MAX_SHOWN = 1000


@dataclass(frozen=True)
class ChannelFrame:
    """A piece of one direction of a channel."""

    channel: str
    offset: int
    received: int
    payload: bytes = b""
    ends: bool = False


@dataclass(frozen=True)
class Ending:
    """Why a channel has ended, in the words of an error."""

    code: str = field(metadata={"max_length": 64})
    message: str = field(metadata={"max_length": _MAX_SHOWN})
    hint: str = field(default="", metadata={"max_length": _MAX_SHOWN})


def pack_ending(reason: EdgeloopError | None) -> bytes:
    """Return the payload of an end; what is too long for it is cut."""
    if reason is None:
        return b""
    size = _MAX_SHOWN
    while True:
        ending = Ending(reason.code, reason.message[:size], reason.hint[:size])
        if len(packed := encode_json(ending)) <= MAX_ENDING_BYTES:
            return packed
        size //= 2


def read_ending(payload: bytes) -> EdgeloopError | None:
    """Return why the other end has ended a channel. Raises `MessageError`."""
    if not payload:
        return None
    ending = decode_json(Ending, payload, max_bytes=MAX_ENDING_BYTES)
    return error_from_dict({"code": ending.code, "message": ending.message, "hint": ending.hint})


def pack_channel_frame(frame: ChannelFrame) -> bytes:
    """Return the bytes of `frame`."""
    name = frame.channel.encode("ascii")
    return _HEADER.pack(CHANNEL_FRAME, frame.ends, len(name), 0, frame.offset, frame.received) + name + frame.payload


def unpack_channel_frame(data: bytes) -> ChannelFrame:
    """Return the frame in `data`. Raises `MessageError` for anything that `pack_channel_frame` cannot have written."""
    if len(data) < _HEADER.size:
        raise MessageError(f"A frame of {len(data)} bytes is shorter than its header.")
    kind, flags, length, reserved, offset, received = _HEADER.unpack_from(data)
    start = _HEADER.size + length
    if kind != CHANNEL_FRAME or flags > _ENDS or reserved or max(offset, received) >= 2**63:
        raise MessageError("A channel frame's header does not fit protocol version 1.")
    limit = MAX_ENDING_BYTES if flags else MAX_CHANNEL_PAYLOAD
    if start > len(data) or len(data) - start > limit:
        raise MessageError(f"A channel frame of {len(data)} bytes does not fit its header.")
    name = data[_HEADER.size : start]
    if _CHANNEL.fullmatch(name) is None:
        raise MessageError("A frame names a channel that cannot exist.")
    return ChannelFrame(name.decode("ascii"), offset, received, data[start:], bool(flags))


class ChannelEnd:
    """One end of a channel, without the link: what is on its way there, and what has come from there.

    It begins without a link: nothing is to be sent before `resume`.
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._kept = bytearray()  # sent or not, but not acknowledged
        self._acknowledged = 0
        self._sent = 0
        self._last = 0  # put in, without the end
        self._ending: bytes | None = None
        self._received = 0
        self._taken = 0
        self._told = 0  # how much of `_taken` the other end was told
        self._ending_there: bytes | None = None
        self._is_linked = False

    @property
    def received(self) -> int:
        """Up to where the other direction has come here."""
        return self._received

    @property
    def room(self) -> int:
        """How many bytes more `send` takes now."""
        return max(0, WINDOW - len(self._kept))

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has come from the other end, not even an acknowledgement."""
        return not self._received and not self._acknowledged

    @property
    def has_ended(self) -> bool:
        """Whether this end was ended from here: it takes nothing more."""
        return self._ending is not None

    @property
    def ending_there(self) -> bytes | None:
        """The payload by which the other end ended the channel, once it has."""
        return self._ending_there

    @property
    def is_over(self) -> bool:
        """Whether both ends know that the channel has ended."""
        if self._ending_there is not None:
            return self._told >= self._received or self._sent > self._last  # two ends that cross need no answer
        return self._acknowledged > self._last

    def send(self, data: bytes | memoryview) -> None:
        """Let bytes go, at most `room` of them."""
        if len(data) > self.room or self.has_ended:
            raise ValueError(f"channel {self.channel} has no room for {len(data)} bytes")
        self._kept += data
        self._last += len(data)

    def end(self, reason: EdgeloopError | None = None) -> None:
        """End the channel behind what was sent; the first reason counts."""
        if self._ending is None:
            self._ending = pack_ending(reason)

    def taken(self, size: int) -> None:
        """Say that so many of the received bytes have reached whom they are for."""
        self._taken = min(self._taken + size, self._received)

    def unlinked(self) -> None:
        """The link is gone: nothing can be sent before `resume`."""
        self._is_linked = False

    def resume(self, received: int) -> None:
        """A link is there, and the other end has received that much: what is behind goes again.

        Raises `MessageError` for what was never sent, or is acknowledged already.
        """
        if not self._acknowledged <= received <= self._last + self.has_ended:
            raise MessageError(f"Channel {self.channel} cannot go on at {received}.")
        self._sent = received
        self._told = 0  # what was told may be lost with the link
        self._is_linked = True

    @property
    def wants_to_send(self) -> bool:
        """Whether `next_frame` has one."""
        if not self._is_linked:
            return False
        if self._ending_there is not None:
            return not self.is_over
        if self.has_ended:  # nothing is acknowledged behind an end: it may have crossed the other one
            return self._sent <= self._last
        return self._sent < self._last or self._taken - self._told >= WINDOW // 4

    def next_frame(self) -> ChannelFrame | None:
        """Return what is to be sent now and count it as sent; None when there is nothing."""
        if not self.wants_to_send:
            return None
        payload, ends = b"", False
        if self._ending_there is None and self._sent < self._last:
            start = self._sent - self._acknowledged
            payload = bytes(self._kept[start : start + MAX_CHANNEL_PAYLOAD])
        elif self._ending_there is None and self._ending is not None and self._sent == self._last:
            payload, ends = self._ending, True
        frame = ChannelFrame(self.channel, self._sent, self._taken, payload, ends)
        self._sent += 1 if ends else len(payload)
        self._told = self._taken
        return frame

    def take(self, frame: ChannelFrame) -> bytes:
        """Return the bytes that a frame of the other end brings. Raises `MessageError` for what that cannot have sent."""
        if not self._acknowledged <= frame.received <= self._sent:
            raise MessageError(f"Byte {frame.received} of channel {self.channel} was acknowledged but not sent.")
        self._acknowledge(frame.received)
        if frame.offset != self._received:
            raise MessageError(f"Channel {self.channel} is at {self._received}, and a frame goes on at {frame.offset}.")
        if self._ending_there is not None and (frame.payload or frame.ends):
            raise MessageError(f"Channel {self.channel} goes on behind its end.")
        if frame.ends:
            self._ending_there = frame.payload
            self._received += 1
            self._taken = self._received  # there is nothing to wait for
            return b""
        if self._received + len(frame.payload) - self._taken > WINDOW:
            raise MessageError(f"More than {WINDOW} bytes of channel {self.channel} came before any was taken.")
        self._received += len(frame.payload)
        return frame.payload

    def _acknowledge(self, received: int) -> None:
        del self._kept[: received - self._acknowledged]
        self._acknowledged = received
