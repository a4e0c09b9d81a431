"""A WebSocket client for bytes (RFC 6455), on the standard library: as much of one as `edgeloop dap` needs.

Every frame's payload is a piece of one stream of bytes; where frames begin and end says nothing.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import struct
import threading

from edgeloop_daemon.cli.client import PREFIX, Client, error_of
from edgeloop_shared.errors import DaemonUnreachableError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of the RFC
_MAX_HEAD = 64 * 1024
_MAX_FRAME = 16 * 1024**2
_PIECE = 256 * 1024
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10
_NORMAL = 1000


class WebSocket:
    """A connection to `path` of the daemon's API. One thread may send while another one receives."""

    def __init__(self, client: Client, path: str) -> None:
        """Connect. Raises `DaemonUnreachableError`, and the error by which the daemon refuses."""
        port, token = client.address()
        self._lock = threading.Lock()
        self.closed_because = ""
        """Why the daemon has closed it, unless all is well."""
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._input = self._socket.makefile("rb")
            self._upgrade(port, token, path)
            self._socket.settimeout(None)
        except OSError as error:
            raise DaemonUnreachableError(f"The daemon does not answer ({error}).") from None

    def send(self, data: bytes) -> None:
        """Send bytes. Raises `OSError` when the connection is gone."""
        for start in range(0, len(data), _PIECE):
            self._send_frame(_BINARY, data[start : start + _PIECE])

    def receive(self) -> bytes:
        """Return the next bytes; none when the connection has ended."""
        while True:
            try:
                code, payload = self._receive_frame()
            except (OSError, ValueError, struct.error):
                return b""
            if code == _CLOSE:
                self._note_close(payload)
                with contextlib.suppress(OSError):
                    self._send_frame(_CLOSE, payload[:2])
                return b""
            if code == _PING:
                self._send_frame(_PONG, payload)
            elif code in (_BINARY, _CONTINUATION) and payload:
                return payload

    def finish(self) -> None:
        """Say that nothing more will come from here."""
        with contextlib.suppress(OSError):
            self._send_frame(_CLOSE, struct.pack(">H", _NORMAL))

    def close(self) -> None:
        """Cut the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _upgrade(self, port: int, token: str, path: str) -> None:
        key = base64.b64encode(os.urandom(16))
        lines = (
            f"GET {PREFIX}{path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {token}",
        )
        self._socket.sendall("\r\n".join((*lines, "", "")).encode())
        status = self._input.readline(_MAX_HEAD).split()
        headers: dict[bytes, bytes] = {}
        while (line := self._input.readline(_MAX_HEAD).strip()) and len(headers) < 100:
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        if len(status) < 2 or status[1] != b"101":
            body = self._input.read(min(int(headers.get(b"content-length", b"0")), _MAX_HEAD))
            raise error_of(int(status[1]) if len(status) > 1 and status[1].isdigit() else 0, body)
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if headers.get(b"sec-websocket-accept") != accept:
            raise DaemonUnreachableError("What listens on the daemon's port speaks no WebSocket.")

    def _send_frame(self, code: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", 0x80 | code, 0x80 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | code, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | code, 0x80 | 127, size)
        mask = os.urandom(4)
        # As one number: byte by byte a large frame would take Python half a second.
        pad = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size) if size else b""
        with self._lock:
            self._socket.sendall(head + mask + masked)

    def _receive_frame(self) -> tuple[int, bytes]:
        first, second = self._read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._read(8))
        if second & 0x80 or size > _MAX_FRAME:
            raise ValueError("no frame of a server")
        return first & 0x0F, self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) < size:
            raise ConnectionError("the daemon has gone")
        return data

    def _note_close(self, payload: bytes) -> None:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else _NORMAL
        if code != _NORMAL:
            self.closed_because = payload[2:].decode(errors="replace") or f"closed with code {code}"
