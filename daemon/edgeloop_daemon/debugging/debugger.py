"""The debugger on the device, as its one client: requests with their answers, and events, in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from edgeloop_daemon.debugging.dap import Body, Event, MessageReader, Request, Response, encode
from edgeloop_daemon.devices.channels import Channel
from edgeloop_shared.eager import EagerSender
from edgeloop_shared.errors import DebuggerError, EdgeloopError

OnAnswer = Callable[[Response], None]


async def answer_to(command: str, ask: Callable[[OnAnswer], None]) -> Body:
    """Return the body of the answer to what `ask` asks. Raises `DebuggerError` with what the debugger says when it fails."""
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def answer(response: Response) -> None:
        if not answered.done():
            answered.set_result(response)

    ask(answer)
    response = await answered
    if not response.success:
        raise DebuggerError(response.message or f"The debugger refused the request `{command[:64]}`.")
    return response.body


class Debugger:
    """The debugger at the other end of a channel.

    `on_event`, and what is to be called with an answer, are called one after the other in the order in which the debugger
    said them: that order is what a client of the protocol relies on. They must not block.
    """

    def __init__(self, channel: Channel, on_event: Callable[[Event], None]) -> None:
        self._channel = channel
        self._on_event = on_event
        self._sequence = 0
        self._asked: dict[int, tuple[Request, OnAnswer]] = {}
        self._outgoing = EagerSender(channel.send)
        self._reader = MessageReader()
        self._ending = ""

    def ask(self, command: str, arguments: Body, on_answer: OnAnswer) -> None:
        """Send a request; once the channel has ended it is answered at once, as one that has failed."""
        self._sequence += 1
        request = Request(self._sequence, command, arguments)
        if self._ending:
            on_answer(request.failed(self._ending))
            return
        self._asked[request.seq] = request, on_answer
        self._outgoing.put(encode(request))

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Body:
        """Return the body of the answer. Raises `DebuggerError` with what the debugger says when it fails."""
        return await answer_to(command, lambda answer: self.ask(command, arguments or {}, answer))

    async def serve(self) -> None:
        """Carry messages until the channel ends. Raises the `EdgeloopError` by which it did not end well."""
        sending = asyncio.create_task(self._outgoing.send_waiting())
        ending = "The debugger on the device has gone."
        try:
            await self._channel.listen(self._heard)
            if self._channel.end is not None:
                raise self._channel.end
        except EdgeloopError as error:
            ending = error.message
            raise
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._end(ending)

    def _heard(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            if isinstance(message, Event):
                self._on_event(message)
            elif isinstance(message, Response):
                self._answered(message)

    def _answered(self, response: Response) -> None:
        # Requests that nobody sent are answered by nobody: a hostile device cannot make us do anything by it.
        asked = self._asked.get(response.request_seq)
        if asked is not None and asked[0].command == response.command:
            del self._asked[response.request_seq]
            asked[1](response)

    def _end(self, reason: str) -> None:
        self._ending = reason
        asked, self._asked = self._asked, {}
        for request, on_answer in asked.values():
            on_answer(request.failed(reason))
