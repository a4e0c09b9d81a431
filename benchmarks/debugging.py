"""What a DAP request takes through the daemon and the link, beside debugpy that is attached directly.

Both are the same script under the same debugpy, stopped at the same line. Ours goes from an editor's WebSocket through the
daemon, the link and the companion to the worker and back; the peer is one TCP connection on loopback with TCP_NODELAY on both
sides (without it debugpy answers in 44 ms). Beside them stands the least that could be between the two: processes that pass
bytes on (`forwarding_parts.py`), one in the daemon's place and one in the device's, with TLS between them. All are asked in turns.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from daemon_parts import Daemon, running_daemon
from figures import Figure, interleaved, percentile, publish, ratio, spread

from edgeloop_daemon.cli.virtual_devices import VirtualDevice
from edgeloop_daemon.cli.websocket import WebSocket
from edgeloop_daemon.debugging.dap import Event, Message, MessageReader, Request, Response, encode
from edgeloop_daemon.store.folders import Folders

BAR = 2.0
STOP_BAR_MS = 50.0
ROUNDS = 21
REQUESTS = 40  # a round
HITS = 60
LINE = 3
SCRIPT_NAME = "loop.py"
SCRIPT = """\
count = 0
while True:
    count += 1
"""


class Wire(Protocol):
    """Bytes to a debugger and back."""

    def send(self, data: bytes) -> None:
        """Send bytes."""

    def receive(self) -> bytes:
        """Return the next bytes."""


class Direct:
    """A TCP connection to debugpy."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next bytes."""
        return self._socket.recv(65536)


class Client:
    """A client that is stopped at a line."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reader = MessageReader()
        self._waiting: list[Message] = []
        self._sequence = 0
        self.frame = self.thread = 0

    def begin(self, path: str, command: str, **arguments: Any) -> None:
        """Attach, and stop at the line."""
        self.ask("initialize", adapterID="x", linesStartAt1=True, columnsStartAt1=True, pathFormat="path")
        self.ask(command, **arguments)
        self.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": LINE}])
        self.ask("configurationDone")
        self.wait_for_stop()

    def wait_for_stop(self) -> None:
        """Return when the script has stopped."""
        while True:
            message = self._next()
            if isinstance(message, Event) and message.event == "stopped":
                self.thread = message.body["threadId"]
                return

    def look(self) -> None:
        """Find the innermost frame."""
        self.frame = self.ask("stackTrace", threadId=self.thread)["stackFrames"][0]["id"]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return the body of the answer; events are kept for later."""
        self._sequence += 1
        self._wire.send(encode(Request(self._sequence, command, arguments)))
        kept: list[Message] = []
        while True:
            message = self._next()
            if isinstance(message, Response) and message.request_seq == self._sequence:
                assert message.success, message
                self._waiting = kept + self._waiting
                return message.body
            kept.append(message)

    def evaluate_us(self) -> float:
        """Return the median microseconds of some requests."""
        taken = []
        for _ in range(REQUESTS):
            begin = time.perf_counter_ns()
            self.ask("evaluate", expression="count", frameId=self.frame, context="watch")
            taken.append((time.perf_counter_ns() - begin) / 1000)
        return percentile(taken, 50)

    def stop_ms(self) -> float:
        """Return the milliseconds from `continue` until the breakpoint's next hit is told: the script gets there at once."""
        begin = time.perf_counter_ns()
        self.ask("continue", threadId=self.thread)
        self.wait_for_stop()
        return (time.perf_counter_ns() - begin) / 1e6

    def _next(self) -> Message:
        while not self._waiting:
            self._waiting.extend(self._reader.feed(self._wire.receive()))
        return self._waiting.pop(0)


def debugpy_alone(folder: Path) -> contextlib.AbstractContextManager[int]:
    """Run the script under debugpy for the block and yield its port."""
    return part("debugging_parts.py", str(folder / SCRIPT_NAME))


@contextlib.contextmanager
def debugpy_behind(daemon: Daemon) -> Iterator[int]:
    """Run it behind two processes that pass bytes on, and yield the port of the first."""
    folder = str(daemon.client.folders.root)
    with (
        debugpy_alone(daemon.root) as port,
        part("forwarding_parts.py", "far", folder, str(port)) as far,
        part("forwarding_parts.py", "near", folder, str(far)) as near,
    ):
        yield near


@contextlib.contextmanager
def part(name: str, *arguments: str) -> Iterator[int]:
    """Run a script beside this one for the block and yield the port that it prints."""
    command = [sys.executable, "-Xfrozen_modules=off", str(Path(__file__).with_name(name)), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def virtual_device(daemon: Daemon) -> Iterator[str]:
    """Pair and link a virtual device for the block; yield its id."""
    device = VirtualDevice(Folders(daemon.folder / "devices"), "bench")
    offer = daemon.client.post("/pairing", {})["offer"]
    device.start(offer)
    try:
        while True:
            for one in daemon.client.items("/devices"):
                if one["info"]["name"] == "bench" and one["is_linked"]:
                    yield one["id"]
                    return
            time.sleep(0.05)
    finally:
        device.stop()


def measure() -> list[Figure]:
    """Return the figures."""
    with running_daemon() as daemon:
        (daemon.root / SCRIPT_NAME).write_text(SCRIPT)
        path = str(daemon.root / SCRIPT_NAME)
        with (
            virtual_device(daemon) as device,
            debugpy_alone(daemon.root) as port,
            debugpy_behind(daemon) as forwarded_port,
        ):
            ours = Client(WebSocket(daemon.client, f"/debug/dap?folder={daemon.root}"))
            ours.begin(path, "launch", task=SCRIPT_NAME, device=device)
            peer = Client(Direct(port))
            peer.begin(path, "attach", stopAllThreadsOnSuspend=True)
            both = {"ours": ours, "peer": peer}
            forwarded = Client(Direct(forwarded_port))
            forwarded.begin(path, "attach", stopAllThreadsOnSuspend=True)
            asked = both | {"forwarded": forwarded}
            for client in asked.values():
                client.look()
            taken = interleaved(ROUNDS, {name: client.evaluate_us for name, client in asked.items()}, warm_up=2)
            request = ratio("DAP request / debugpy directly, p50", BAR, taken["ours"], taken["peer"], unit="us")
            passed_on = percentile(taken["forwarded"], 50)
            request = replace(request, measured={**request.measured, "passed_on_us": passed_on})
            hits = interleaved(HITS, {name: client.stop_ms for name, client in both.items()}, warm_up=3)
            stop = Figure(
                "`continue` until the next hit is told, p50",
                percentile(hits["ours"], 50),
                STOP_BAR_MS,
                unit="ms",
                spread=spread(hits["ours"]),
                measured={"directly_ms": percentile(hits["peer"], 50)},
            )
            ours.ask("disconnect", terminateDebuggee=True)
    return [request, stop]


if __name__ == "__main__":
    publish("debugging", measure)
