"""The Debug Adapter Protocol's messages: framing, limits and a typed reading. The one module that reads them.

Source of the format: the base protocol of the Debug Adapter Protocol's specification. A message is a header of
`Content-Length: N` (and other fields, which are ignored), an empty line, and N bytes of JSON in UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgeloop_shared.codec import INTEGERS, printable
from edgeloop_shared.errors import EdgeloopError, MessageError

MAX_HEADER_BYTES = 1024
MAX_BODY_BYTES = 8 * 1024**2
_END_OF_HEADER = b"\r\n\r\n"
_MAX_NAME = 200
MAX_NESTED = 64
_PLAIN_HEADER = re.compile(rb"Content-Length: ([0-9]{1,12})\r\n\r\n")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    seq: int
    command: str
    arguments: Body

    def answered(self, body: Body) -> Response:
        """Return the answer that it has succeeded."""
        return Response(0, self.seq, self.command, success=True, message="", body=body)

    def failed(self, message: str, body: Body | None = None) -> Response:
        """Return the answer that it has failed."""
        return Response(0, self.seq, self.command, success=False, message=message, body=body or {})

    def refused(self, error: EdgeloopError) -> Response:
        """Return the answer that it has failed in a way that an editor shows to its user."""
        return self.failed(str(error), {"error": {"id": 1, "format": str(error), "showUser": True}})


@dataclass(frozen=True)
class Response:
    """The answer to the request `request_seq`; one that has failed says why in `message`."""

    seq: int
    request_seq: int
    command: str
    success: bool
    message: str
    body: Body


@dataclass(frozen=True)
class Event:
    """What an adapter tells unasked."""

    seq: int
    event: str
    body: Body


Message: TypeAlias = Request | Response | Event


class MessageReader:
    """Puts messages together from the pieces of a byte stream. After a `MessageError` it is of no more use."""

    def __init__(self, *, max_body: int = MAX_BODY_BYTES) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._length: int | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole with `data`. Raises `MessageError` for what is none or beyond the limits."""
        self._buffer += data
        while self._buffer:
            if self._length is None and not self._read_header():
                return
            assert self._length is not None
            if len(self._buffer) < self._length:
                return
            body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            self._length = None
            yield read_message(body)

    def _read_header(self) -> bool:
        plain = _PLAIN_HEADER.match(self._buffer)  # as nearly everybody writes it
        if plain and int(plain[1]) <= self._max_body:
            self._length = int(plain[1])
            del self._buffer[: plain.end()]
            return True
        end = self._buffer.find(_END_OF_HEADER, 0, MAX_HEADER_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEADER_BYTES:
                raise MessageError(f"A debugger message's header does not end within {MAX_HEADER_BYTES} bytes.")
            _check_begin(bytes(self._buffer))
            return False
        self._length = _content_length(bytes(self._buffer[:end]), self._max_body)
        del self._buffer[: end + len(_END_OF_HEADER)]
        return True


def read_message(body: bytes) -> Message:
    """Return the message in the JSON text `body`. Raises `MessageError`."""
    value = _parse(body)
    if not isinstance(value, dict):
        raise MessageError("A debugger message is no JSON object.")
    seq = _integer(value, "seq")
    match value.get("type"):
        case "request":
            return Request(seq, _name(value, "command"), _object(value, "arguments"))
        case "response":
            success, message = value.get("success"), value.get("message")
            if not isinstance(success, bool):
                raise MessageError("A debugger's response does not say whether it succeeded.")
            return Response(
                *(seq, _integer(value, "request_seq"), _name(value, "command")),
                *(success, message if isinstance(message, str) else "", _object(value, "body")),
            )
        case "event":
            return Event(seq, _name(value, "event"), _object(value, "body"))
    raise MessageError(f"A debugger message has the type {printable(str(value.get('type')))!r}, which there is not.")


def breakpoints_of(body: Body) -> list[Body]:
    """Return the breakpoints that a body lists; anything else counts as none."""
    listed = body.get("breakpoints")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def encode(message: Message, seq: int | None = None) -> bytes:
    """Return a message as it travels, header included; with `seq` in place of its own."""
    seq = message.seq if seq is None else seq
    if isinstance(message, Request):
        value = {"seq": seq, "type": "request", "command": message.command, "arguments": message.arguments}
    elif isinstance(message, Event):
        value = {"seq": seq, "type": "event", "event": message.event, "body": message.body}
    else:
        value = {
            "seq": seq,
            "type": "response",
            "request_seq": message.request_seq,
            "success": message.success,
            "command": message.command,
            **({"message": message.message} if message.message else {}),
            "body": message.body,
        }
    body = _ENCODER.encode(value).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _check_begin(begin: bytes) -> None:
    """Refuse early what is no header: somebody who speaks HTTP would wait for an answer else."""
    line = begin.partition(b"\r\n")[0]
    if b"\n" in begin.replace(b"\r\n", b"") or (b"\r\n" in begin and b":" not in line):
        raise MessageError(f"A debugger message begins with {_shown(line)}.", hint="Speak the Debug Adapter Protocol.")


def _content_length(header: bytes, limit: int) -> int:
    lengths = []
    for line in header.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            raise MessageError(f"A debugger message's header holds {_shown(line)}, which is no field.")
        if name.strip().lower() == b"content-length":
            lengths.append(value.strip())
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 12:
        raise MessageError(f"A debugger message's header names no one Content-Length: {_shown(header)}.")
    length = int(lengths[0])
    if length > limit:
        raise MessageError(f"A debugger message of {length} bytes exceeds the limit of {limit}.")
    return length


def _parse(body: bytes) -> Any:
    """Return the values of a JSON text, without those that could not be sent on: nested without end, or no finite numbers.

    A key may stand twice, which `parse_json` refuses: what is sent on is written anew, so both sides read the same one.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MessageError(f"A debugger message of {len(body)} bytes exceeds the limit of {MAX_BODY_BYTES}.")
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MessageError(f"A debugger message is not valid JSON: {error}.") from None
    if body.count(b"{") + body.count(b"[") > MAX_NESTED:  # else there are too few to be nested too deep
        _check_depth(value, 0)
    return value


def _check_depth(value: Any, depth: int) -> None:
    if depth > MAX_NESTED:
        raise MessageError(f"A debugger message is nested deeper than {MAX_NESTED} levels.")
    if isinstance(value, dict):
        for item in value.values():
            _check_depth(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:32]} is not finite")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _shown(data: bytes) -> str:
    return repr(printable(data.decode("latin-1"), 60))


def _integer(value: Body, name: str) -> int:
    number = value.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or number not in INTEGERS:
        raise MessageError(f"A debugger message's `{name}` is no number.")
    return number


def _name(value: Body, name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_NAME:
        raise MessageError(f"A debugger message's `{name}` is no name.")
    return text


def _object(value: Body, name: str) -> Body:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MessageError(f"A debugger message's `{name}` is no object.")
    return found
