"""The messages of the Debug Adapter Protocol: how they are framed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgeloop_daemon.debugging.dap import (
    MAX_HEADER_BYTES,
    Event,
    Message,
    MessageReader,
    Request,
    Response,
    encode,
    read_message,
)
from edgeloop_daemon.debugging.debugger import Debugger
from edgeloop_daemon.devices.channels import ChannelState
from edgeloop_shared.errors import MessageError

MESSAGES: tuple[Message, ...] = (
    Request(1, "initialize", {"clientID": "ü"}),
    Response(2, 1, "initialize", success=True, message="", body={"supportsX": True}),
    Response(3, 2, "launch", success=False, message="no", body={}),
    Event(4, "stopped", {"reason": "step", "threadId": 1}),
)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_come_in_pieces_of_any_size(size: int) -> None:
    data = b"".join(map(encode, MESSAGES))
    reader = MessageReader()

    found = [one for at in range(0, len(data), size) for one in reader.feed(data[at : at + size])]

    assert tuple(found) == MESSAGES


def test_other_fields_of_a_header_and_its_case_are_ignored() -> None:
    body = b'{"seq":1,"type":"event","event":"x"}'
    data = b"content-type: application/vscode-jsonrpc\r\nCONTENT-LENGTH: %d\r\n\r\n%b" % (len(body), body)

    assert list(MessageReader().feed(data)) == [Event(1, "x", {})]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n", "begins with 'GET / HTTP/1.1'"),
        (b"Content-Length: 5\n\n{}", "begins with"),
        (b"Content-Length: many\r\n\r\n", "names no one Content-Length"),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "names no one Content-Length"),
        (b"Content-Length: -1\r\n\r\n", "names no one Content-Length"),
        (b"Content-Length: 999999999\r\n\r\n", "exceeds the limit"),
        (b"X: " + b"y" * MAX_HEADER_BYTES, "does not end within"),
        (b"Content-Length: 2\r\n\r\n[]", "no JSON object"),
        (b"Content-Length: 3\r\n\r\n{,}", "not valid JSON"),
    ],
)
def test_what_is_no_message_is_refused_in_words(data: bytes, expected: str) -> None:
    with pytest.raises(MessageError) as refused:
        list(MessageReader().feed(data))
    assert expected in refused.value.message


@pytest.mark.parametrize(
    "value",
    [
        {"type": "request", "command": "x"},
        {"seq": True, "type": "request", "command": "x"},
        {"seq": 2**70, "type": "request", "command": "x"},
        {"seq": 1, "type": "request", "command": ""},
        {"seq": 1, "type": "request", "command": "x", "arguments": [1]},
        {"seq": 1, "type": "response", "request_seq": 1, "command": "x", "success": "yes"},
        {"seq": 1, "type": "response", "command": "x", "success": True},
        {"seq": 1, "type": "other"},
        {"seq": 1, "type": "event", "event": "x", "body": {"a": [[[]]] * 1}, "b": 1e999},
    ],
)
def test_a_message_without_what_it_must_have_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        read_message(json.dumps(value).replace("Infinity", "1e999").encode())


def test_a_message_that_is_nested_without_end_is_refused() -> None:
    for depth in (65, 100_000):
        deep = b'{"seq":1,"type":"event","event":"x","body":{"a":' + b"[" * depth + b"]" * depth + b"}}"
        with pytest.raises(MessageError):
            read_message(deep)


class _Scripted:
    """A channel whose other end says what it wants."""

    end = None
    state = ChannelState.OPEN

    def __init__(self, *said: bytes) -> None:
        self._said = [*said, b""]

    async def changed(self, seen: ChannelState) -> ChannelState:
        return seen

    async def send(self, data: bytes) -> None:
        pass

    async def receive(self) -> bytes:
        return self._said.pop(0)

    async def listen(self, heard: Callable[[bytes], None]) -> None:
        while data := await self.receive():
            heard(data)


async def test_answers_that_nobody_asked_for_are_dropped() -> None:
    heard: list[Event] = []
    answers: list[Response] = []
    stray = encode(Response(1, 99, "evaluate", success=True, message="", body={}))
    wrong = encode(Response(2, 1, "evaluate", success=True, message="", body={"result": "stolen"}))
    asked = encode(Request(3, "runInTerminal", {"args": ["rm"]}))
    event = encode(Event(4, "output", {"output": "fine"}))
    debugger = Debugger(_Scripted(stray + wrong + asked + event), heard.append)
    debugger.ask("threads", {}, answers.append)

    await debugger.serve()

    assert [one.event for one in heard] == ["output"]
    assert [(one.command, one.success) for one in answers] == [("threads", False)]
