"""Channels to workers, as whoever debugs or inspects a running script uses them.

`devices.device_channels` carries them over the links of devices. A test may carry one over anything else that has these methods.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from edgeloop_shared.channels import LOST_SECONDS
from edgeloop_shared.errors import EdgeloopError

DEBUGGER = "debugger"
"""The purpose of a channel to debugpy: its bytes are those of the Debug Adapter Protocol, from the client's `initialize` on."""


class ChannelState(StrEnum):
    """How a channel is."""

    OPEN = "open"
    LINK_LOST = "link-lost"
    ENDED = "ended"


class Channel(Protocol):
    """Bytes to a worker and back, none lost and none twice, over however many links it takes.

    While the link of the device is lost the channel is `LINK_LOST`: `send` takes what fits the window and then waits,
    `receive` waits. It is `OPEN` again when the device is back. One task may send while another one receives.
    """

    @property
    def state(self) -> ChannelState:
        """How it is now."""

    @property
    def end(self) -> EdgeloopError | None:
        """Why it has ended, once it has; None when it ended as it should (the script ended, or it was closed from here)."""

    async def changed(self, seen: ChannelState) -> ChannelState:
        """Return the state as soon as it is not `seen` (any more)."""

    async def send(self, data: bytes) -> None:
        """Send bytes; wait while the other side is behind. Does nothing after the end."""

    async def receive(self) -> bytes:
        """Return the next bytes, as many as there are; b"" at the end, then and ever after."""

    async def listen(self, heard: Callable[[bytes], None]) -> None:
        """Have `heard` called with all bytes until the end, as they come and at once; it must not block. Raises what it raises.

        This is in place of `receive`, for whoever feels a turn of the event loop.
        """


class Channels(Protocol):
    """Opens channels."""

    def open(
        self, run_id: str, purpose: str = DEBUGGER, *, lost_seconds: float = LOST_SECONDS
    ) -> AbstractAsyncContextManager[Channel]:
        """Open a channel to the worker of a run for the block.

        It enters once the worker is there and ready for `purpose`; of a run that still waits for its bundle or for a free
        worker, once that is so. At the end of the block the channel ends: a debugger lets go of the script, which goes on. One
        whose link is lost for `lost_seconds` ends as well, on both sides.

        Raises `NotFoundError` for a run that is not on a device (any more), `ConflictError` when another debugger has the
        script, `RateLimitedError` for too many channels, and what the worker answers (`TaskFailedError` where debugpy cannot
        be used).
        """
