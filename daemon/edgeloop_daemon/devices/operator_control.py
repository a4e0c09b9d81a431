"""What is asked of breakpoints on operators in a running script, over a channel to its worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgeloop_daemon.devices.channels import Channel, Channels
from edgeloop_daemon.devices.commands import device_error
from edgeloop_shared.errors import DeviceUnavailableError, MessageError, NotFoundError
from edgeloop_shared.operator_control import (
    CONTROL,
    MAX_LINE_BYTES,
    Request,
    TensorPart,
    decode_reply,
    encode_request,
)

ANSWER_SECONDS = 20.0  # without a byte from the device
_PIECE = 64 * 1024


class OperatorControl:
    """Asks the workers of runs."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def ask(self, run_id: str, request: Request, content: bytes = b"") -> TensorPart | None:
        """Ask one thing, with the bytes that it announces; return what was asked for.

        Raises what `Channels.open` raises, the error by which the device refuses, and `DeviceUnavailableError` when no answer
        comes in time.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS) as patience, self.conversation(run_id) as conversation:
                return await conversation.ask(request, content, patience)
        except TimeoutError:
            raise DeviceUnavailableError(
                f"The device of run {run_id} does not answer.",
                hint="It may be away, or busy with an operator. A run that waits goes on waiting: try again.",
            ) from None

    @asynccontextmanager
    async def conversation(self, run_id: str) -> AsyncIterator[Conversation]:
        """Open a channel for several requests, once the run's worker is there. Raises what `Channels.open` raises."""
        async with self._channels.open(run_id, CONTROL) as channel:
            yield Conversation(run_id, channel)


class Conversation:
    """Requests and replies over one channel."""

    def __init__(self, run_id: str, channel: Channel) -> None:
        self._run_id = run_id
        self._channel = channel
        self._came = bytearray()

    async def ask(
        self, request: Request, content: bytes = b"", patience: asyncio.Timeout | None = None
    ) -> TensorPart | None:
        """Ask, and return what was asked for; with `patience`, which begins anew with each piece of `content`.

        Raises the error by which the device refuses, and `NotFoundError` when the run has ended.
        """
        await self._channel.send(encode_request(request))
        for start in range(0, len(content), _PIECE):
            await self._channel.send(content[start : start + _PIECE])
            if patience is not None:
                patience.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
        reply = decode_reply(await self._line())
        if reply.error is not None:
            raise device_error(reply.error)
        return reply.part

    async def _line(self) -> bytes:
        while b"\n" not in self._came:
            if len(self._came) > MAX_LINE_BYTES:
                raise MessageError("A device answered with too much.")
            data = await self._channel.receive()
            if not data:
                raise self._channel.end or NotFoundError(f"Run {self._run_id} has ended.")
            self._came += data
        line, _, rest = bytes(self._came).partition(b"\n")
        self._came[:] = rest
        return line
