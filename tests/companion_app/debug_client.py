"""A client of the Debug Adapter Protocol over whatever carries its bytes, as far as these tests need one.

Written from the specification: messages are JSON behind a `Content-Length` header, requests count from 1, responses name them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from .link_peer import LinkPeer
from .received_run import Run

Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes]]


class DebugClient:
    """Sends requests and reads what comes; events that nobody waits for yet are kept."""

    def __init__(self, send: Send, receive: Receive) -> None:
        self._send = send
        self._receive = receive
        self._buffer = b""
        self._sequence = 0
        self.messages: list[dict[str, Any]] = []

    async def request(self, command: str, **arguments: object) -> int:
        """Send a request and return its number."""
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        await self._send(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return self._sequence

    async def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a request and return the body of its response, which must be a success."""
        return await self.response(await self.request(command, **arguments))

    async def response(self, number: int) -> dict[str, Any]:
        """Return the body of the response to a request, which must be a success."""
        response = await self._next(lambda message: message.get("request_seq") == number)
        assert response["success"], response
        return dict(response.get("body") or {})

    async def event(self, name: str) -> dict[str, Any]:
        """Return the body of the next event of that name."""
        message = await self._next(lambda message: message.get("event") == name)
        return dict(message.get("body") or {})

    async def attach(self, breakpoints: dict[str, list[int]]) -> None:
        """Begin a session with breakpoints by path, and let a script that waits begin."""
        await self.ask("initialize", adapterID="edgeloop", pathFormat="path", linesStartAt1=True)
        await self.request("attach", justMyCode=False)
        await self.event("initialized")
        for path, lines in breakpoints.items():
            set_ = await self.ask(
                "setBreakpoints", source={"path": path}, breakpoints=[{"line": line} for line in lines]
            )
            assert [one["verified"] for one in set_["breakpoints"]] == [True] * len(lines)
        await self.ask("configurationDone")

    async def stopped(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait until a thread has stopped; return it and its frames."""
        thread = (await self.event("stopped"))["threadId"]
        return thread, (await self.ask("stackTrace", threadId=thread))["stackFrames"]

    async def evaluate(self, expression: str, frame: dict[str, Any]) -> str:
        """Return what an expression gives in a frame, as text."""
        return str((await self.ask("evaluate", expression=expression, frameId=frame["id"]))["result"])

    async def _next(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            for message in self.messages:
                if fits(message):
                    self.messages.remove(message)
                    return message
            self.messages.append(await self._message())

    async def _message(self) -> dict[str, Any]:
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = int(head.partition(b":")[2])
        while len(self._buffer) < length:
            await self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return dict(json.loads(body))

    async def _more(self) -> None:
        data = await self._receive()
        assert data, "the session has ended"
        self._buffer += data


async def debug(peer: LinkPeer, run: Run, lost_seconds: float | None = None) -> tuple[DebugClient, str]:
    """Open a channel to the debugger of a run and return a client over it, and the channel's name."""
    name = await peer.open_channel(run, lost_seconds=lost_seconds)
    assert await peer.heard(name, b"\n") == b"{}\n"

    async def receive() -> bytes:
        await peer.until(lambda: bool(peer.came[name]) or peer.channels[name].ending_there is not None)
        data = bytes(peer.came[name])
        peer.came[name].clear()
        peer.channels[name].taken(len(data))
        await peer.say(name)
        return data

    return DebugClient(lambda data: peer.say(name, data), receive), name
