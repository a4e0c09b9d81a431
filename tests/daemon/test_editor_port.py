"""The port on loopback for editors that need one: an editor of this user's, and nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from edgeloop_daemon.cli.editor_port import accept_editor, listen
from edgeloop_shared.errors import PortInUseError

HELLO = b"Content-Length: 2\r\n\r\n{}"
STRANGER = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
connection.sendall(b"Content-Length: 2\\r\\n\\r\\n{}")
try:
    print(connection.recv(100))
except ConnectionError:
    print(b"")
"""


@dataclass
class Port:
    """A port that waits for its editor in a thread."""

    number: int
    complaints: list[str] = field(default_factory=list)
    editors: list[bytes] = field(default_factory=list)
    thread: threading.Thread | None = None

    def say(self, data: bytes) -> bytes:
        """Say something as somebody new, and return what is answered until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.number), timeout=20) as connection:
            connection.sendall(data)
            try:
                return connection.recv(100)
            except ConnectionError:
                return b""

    def wait(self) -> None:
        assert self.thread is not None
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def port() -> Iterator[Port]:
    listening = listen(0)
    found = Port(listening.getsockname()[1])

    def serve() -> None:
        with listening:
            connection, begin = accept_editor(listening, found.complaints.append)
        found.editors.append(begin)
        connection.close()

    found.thread = threading.Thread(target=serve)
    found.thread.start()
    yield found
    if found.thread.is_alive():
        found.say(HELLO)
    found.wait()


def test_an_editor_of_this_user_is_let_in_and_nobody_after_it(port: Port) -> None:
    port.say(HELLO)
    port.wait()

    assert port.editors == [HELLO]
    with pytest.raises(ConnectionRefusedError):
        port.say(HELLO)


@pytest.mark.parametrize(
    "begin",
    [
        b"POST /evaluate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90\r\n\r\nContent-Length: 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_who_does_not_begin_as_an_editor_does_is_told_nothing(port: Port, begin: bytes) -> None:
    assert port.say(begin) == b""

    assert "does not speak the Debug Adapter Protocol" in port.complaints[0]
    assert port.editors == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_process_of_another_user_is_refused_whatever_it_says(port: Port) -> None:
    command = [sys.executable, "-c", STRANGER, str(port.number)]
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env", "-i", *_readable(command)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip() == "b''"
    assert port.complaints == ["A connection of a process of user 65534 was refused."]
    assert port.editors == []


def _readable(command: list[str]) -> list[str]:
    """Return the command with a Python that anybody may start: root's own may lie where others cannot enter."""
    return ["/usr/bin/python3", *command[1:]] if os.access("/usr/bin/python3", os.X_OK) else command


def test_a_port_that_is_taken_is_named() -> None:
    with listen(0) as taken, pytest.raises(PortInUseError, match=str(taken.getsockname()[1])):
        listen(taken.getsockname()[1])
