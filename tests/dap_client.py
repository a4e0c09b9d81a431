"""A client of the Debug Adapter Protocol, written against its specification, that forgives nothing.

It checks of every message that it may come now and holds what it must, and records the order of them all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

SECONDS = 60.0
Body = dict[str, Any]

_RESPONSES: dict[str, tuple[str, ...]] = {
    "stackTrace": ("stackFrames",),
    "scopes": ("scopes",),
    "variables": ("variables",),
    "threads": ("threads",),
    "evaluate": ("result", "variablesReference"),
    "setVariable": ("value",),
    "setBreakpoints": ("breakpoints",),
    "setFunctionBreakpoints": ("breakpoints",),
    "exceptionInfo": ("exceptionId", "breakMode"),
    "completions": ("targets",),
    "source": ("content",),
}
_ITEMS: dict[str, tuple[str, ...]] = {
    "stackFrames": ("id", "name", "line", "column"),
    "scopes": ("name", "variablesReference", "expensive"),
    "variables": ("name", "value", "variablesReference"),
    "threads": ("id", "name"),
    "breakpoints": ("verified",),
}
_EVENTS: dict[str, tuple[str, ...]] = {
    "stopped": ("reason",),
    "continued": ("threadId",),
    "exited": ("exitCode",),
    "output": ("output",),
    "thread": ("reason", "threadId"),
    "module": ("reason", "module"),
    "breakpoint": ("reason", "breakpoint"),
    "initialized": (),
    "terminated": (),
}
_RESUMING = ("continue", "next", "stepIn", "stepOut", "restart")


class DapClient:
    """One client. `send` takes bytes for the adapter, `receive` returns what it says, nothing at the end."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], receive: Callable[[], Awaitable[bytes]]) -> None:
        self._send = send
        self._receive = receive
        self._sequence = 0
        self._heard = 0
        self._asked: dict[int, tuple[str, asyncio.Future[Body]]] = {}
        self._events: list[Body] = []
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_initialized = self._is_configured = self._is_stopped = self._has_terminated = False
        self.order: list[str] = []
        """Every message, in the order in which it was sent or came: `> next`, `< next`, `! stopped breakpoint`."""
        self.capabilities: Body = {}
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Stop listening; a message that broke the protocol is raised here at the latest."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._check()

    async def request(self, command: str, arguments: Body | None = None, **more: Any) -> Body:
        """Return the body of the answer, which has to say that all went well."""
        answer = await self.ask(command, {**(arguments or {}), **more})
        assert answer["success"], f"{command}: {answer.get('message')}"
        body: Body = answer.get("body") or {}
        return body

    async def refused(self, command: str, **arguments: Any) -> str:
        """Return why a request is refused, as it has to be."""
        answer = await self.ask(command, arguments)
        assert not answer["success"], f"{command} went well: {answer}"
        assert answer["body"]["error"]["format"]
        return str(answer["message"])

    async def ask(self, command: str, arguments: Body) -> Body:
        """Return the answer, whatever it says."""
        self._sequence += 1
        answered: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._asked[self._sequence] = command, answered
        self.order.append(f"> {command}")
        if command == "configurationDone":
            self._is_configured = True
        if command in _RESUMING:
            self._is_stopped = False
        record = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(record).encode()
        await self._send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        both: set[asyncio.Future[Any]] = {answered, self._reading}
        await asyncio.wait(both, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        self._check()
        assert answered.done(), f"no answer to {command}; so far: {self.order}"
        return answered.result()

    async def event(self, name: str, **expected: Any) -> Body:
        """Return the body of the next event of that name (and with these values) that was not returned yet."""
        deadline = asyncio.get_running_loop().time() + SECONDS
        while True:
            for event in self._events:
                body: Body = event.get("body") or {}
                if event["event"] == name and expected.items() <= body.items():
                    self._events.remove(event)
                    return body
            self._check()
            assert not self._reading.done(), f"the adapter ended before {name}: {self.order}"
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                raise AssertionError(f"no event {name} {expected}; so far: {self.order}") from None

    async def output(self, text: str) -> str:
        """Wait for output that holds `text`; return all of it up to there."""
        gathered = ""
        while text not in gathered:
            gathered += (await self.event("output"))["output"]
        return gathered

    def has_event(self, name: str) -> bool:
        """Return whether an event of that name came and was not returned yet."""
        return any(event["event"] == name for event in self._events)

    # What tests do again and again

    async def initialize(self) -> None:
        """Say who we are."""
        self.capabilities = await self.request(
            "initialize",
            clientID="tests",
            adapterID="edgeloop",
            pathFormat="path",
            linesStartAt1=True,
            columnsStartAt1=True,
            supportsVariableType=True,
            supportsVariablePaging=True,
        )

    async def begin(
        self, how: str = "launch", breakpoints: dict[str, list[Any]] | None = None, filters: Any = (), **given: Any
    ) -> dict[str, list[Body]]:
        """Launch or attach, set breakpoints (lines, or the specification's `SourceBreakpoint`); return what became of them."""
        await self.initialize()
        starting = asyncio.create_task(self.request(how, **given))
        try:
            waiting = asyncio.create_task(self.event("initialized"))
            both: set[asyncio.Future[Any]] = {starting, waiting}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await waiting
            found = {}
            for path, lines in (breakpoints or {}).items():
                found[path] = await self.set_breakpoints(path, lines)
            if filters:
                await self.request("setExceptionBreakpoints", filters=list(filters))
            await self.request("configurationDone")
            await starting
        finally:
            starting.cancel()
        return found

    async def set_breakpoints(self, path: str, lines: list[Any]) -> list[Body]:
        """Set a file's breakpoints; there has to be an answer for each."""
        wanted = [{"line": one} if isinstance(one, int) else one for one in lines]
        body = await self.request("setBreakpoints", source={"path": path}, breakpoints=wanted)
        found: list[Body] = body["breakpoints"]
        assert len(found) == len(wanted)
        return found

    async def stopped(self, reason: str) -> int:
        """Return the thread that has stopped."""
        body = await self.event("stopped")
        assert body["reason"] == reason, body
        return int(body["threadId"])

    async def top(self, thread: int) -> Body:
        """Return the innermost frame."""
        frames: list[Body] = (await self.request("stackTrace", threadId=thread))["stackFrames"]
        return frames[0]

    async def scope(self, frame: int, name: str = "Locals") -> dict[str, Body]:
        """Return a frame's variables by name."""
        scopes = {one["name"]: one for one in (await self.request("scopes", frameId=frame))["scopes"]}
        return await self.children(scopes[name]["variablesReference"])

    async def children(self, reference: int, **paging: Any) -> dict[str, Body]:
        """Return what a variable holds, by name."""
        body = await self.request("variables", variablesReference=reference, **paging)
        return {one["name"]: one for one in body["variables"]}

    async def value(self, expression: str, frame: int, context: str = "watch") -> str:
        """Return what an expression is in a frame."""
        return str((await self.request("evaluate", expression=expression, frameId=frame, context=context))["result"])

    # What the adapter says

    async def _read(self) -> None:
        try:
            buffer = b""
            while data := await self._receive():
                buffer += data
                while (whole := _whole(buffer)) is not None:
                    body, buffer = whole
                    self._take(json.loads(body))
            assert not buffer, f"the adapter ended in the middle of a message: {buffer[:100]!r}"
        except Exception as error:
            self._failure = error
        finally:
            self._changed.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise AssertionError(f"the adapter broke the protocol: {self._failure}; {self.order}") from self._failure

    def _take(self, message: Body) -> None:
        self._heard += 1
        assert message["seq"] == self._heard, f"seq {message['seq']} instead of {self._heard}"
        if message["type"] == "response":
            self._take_response(message)
        else:
            assert message["type"] == "event", message
            self._take_event(message)

    def _take_response(self, message: Body) -> None:
        command, answered = self._asked.pop(message["request_seq"])
        assert message["command"] == command, message
        assert isinstance(message["success"], bool)
        self.order.append(f"< {command}" if message["success"] else f"< {command} refused")
        if message["success"]:
            for name in _RESPONSES.get(command, ()):
                assert name in message["body"], f"{command} without {name}"
                for item in message["body"][name] if name in _ITEMS else ():
                    assert item.keys() >= set(_ITEMS[name]), item
        else:
            assert message["message"], "a refusal without a reason"
        if command == "initialize" and message["success"]:
            self._is_initialized = True
        answered.set_result(message)

    def _take_event(self, message: Body) -> None:
        name, body = message["event"], message.get("body") or {}
        assert self._is_initialized or name in ("output", "terminated"), f"{name} before the answer to initialize"
        assert name in _EVENTS, f"an event {name} that nobody knows"
        assert body.keys() >= set(_EVENTS[name]), f"{name}: {body}"
        if name == "initialized":
            assert "! initialized" not in self.order, "initialized twice"
        if name == "stopped":
            assert self._is_configured, "stopped before configurationDone"
            assert not self._is_stopped, "stopped twice"
            self._is_stopped = True
        if name == "continued":
            self._is_stopped = False
        assert not self._has_terminated, f"{name} behind terminated"
        self._has_terminated = name == "terminated"
        if name != "output":
            self.order.append(f"! {name} {body.get('reason', '')}".rstrip())
        self._events.append(message)
        self._changed.set()


def _whole(buffer: bytes) -> tuple[bytes, bytes] | None:
    """Return the first whole message's body and what is behind it."""
    head, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
    return (rest[:length], rest[length:]) if len(rest) >= length else None
