"""How soon a phone is linked that was found by mDNS, and after the daemon's restart; and what looking for phones takes in memory.

A real daemon and a real companion, each in a network namespace of its own, joined by a switch. Nothing else is known to the phone:
the address in its pairing is one at which nobody answers. From discovery (the daemon has the phone's announcement) to the link
counts what the two need for recognition, the knock, TLS, both proofs and the introduction. Times are those of the daemon's events.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon_parts import pair
from daemon_start import first_answer, proportional_set
from figures import Figure, publish, spread
from namespace_parts import Computer, network

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.daemon_process import daemon_command
from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.store.folders import Folders

ROUNDS = 20
RESTARTS = 7
DISCOVERY_BAR = 0.5
RECONNECT_BAR = 2.0
MEMORY_BAR = 90.0  # MiB
SETTLE_SECONDS = 2.0
_SECONDS = 60.0
_NOBODY = ("198.18.7.1", 9)  # the daemon's computer, but a port at which nobody listens


class Scene:
    """A daemon on one computer and a phone that is paired with it on another."""

    def __init__(self, desk: Computer, street: Computer, root: Path) -> None:
        self.desk, self.street = desk, street
        self.folders = Folders(root / "state")
        self.folders.create()
        (device,) = asyncio.run(pair(self.folders, 1))
        certificate = load_or_create_certificate(self.folders.certificate, self.folders.certificate_key)
        address, port = _NOBODY
        self.pairing = Pairing(device.id, device.key.hex(), certificate.fingerprint.hex(), (address,), port, "desk")
        self.phone = root / "phone"

    @contextlib.contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the daemon; it has answered once."""
        process = subprocess.Popen(["ip", "netns", "exec", self.desk.namespace, *daemon_command(self.folders)])
        try:
            self.desk.do(asyncio.to_thread(first_answer, self.folders, process))
            yield process
        finally:
            process.terminate()
            process.wait(_SECONDS)

    @contextlib.contextmanager
    def app(self) -> Iterator[None]:
        """Run the app, which knows only an address at which nobody answers."""
        Pairings(StateFolder(self.phone).pairings).add(self.pairing)
        command = [sys.executable, "-m", "edgeloop_companion", "--state", str(self.phone), "--name", "phone"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.street.namespace, *command, "--advertise"], stdout=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(_SECONDS)

    def latest(self) -> int:
        """Return the cursor of the newest event."""
        return int(self._get("/events?since=0&limit=1")["latest"])

    def time_of(self, kind: str, since: int) -> float:
        """Return when the first event of a kind behind a cursor has happened, and wait for it."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for event in self._get(f"/events?since={since}&limit=1000")["items"]:
                if event["kind"] == kind:
                    return float(event["time"])
            time.sleep(0.02)
        raise AssertionError(f"there was no {kind}")

    def _get(self, path: str) -> Any:
        return self.desk.do(asyncio.to_thread(Client(self.folders).get, path))


def measure() -> list[Figure]:
    """Return all figures."""
    os.environ["EDGELOOP_MDNS"] = "on"
    root = Path(tempfile.mkdtemp(prefix="edgeloop-benchmark-"))
    found, started, again = [], [], []
    try:
        with network(2) as (desk, street):
            scene = Scene(desk, street, root)
            with scene.daemon() as daemon:
                for _ in range(ROUNDS):
                    since, begun = scene.latest(), time.time()
                    with scene.app():
                        linked = scene.time_of("device.linked", since)
                        found.append(linked - scene.time_of("phone.seen", since))
                        started.append(linked - begun)
                    scene.time_of("phone.gone", since)
                time.sleep(SETTLE_SECONDS)
                memory = proportional_set(daemon.pid)
            with scene.daemon():
                since = scene.latest()
                stack = contextlib.ExitStack()
                stack.enter_context(scene.app())
                scene.time_of("device.linked", since)
            with stack:
                for _ in range(RESTARTS):
                    with scene.daemon():
                        ready, since = time.time(), restarted(scene)
                        again.append(scene.time_of("device.linked", since) - ready)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    started_at = {"start_of_the_app_to_linked_s": statistics.median(started)}
    return [
        Figure("discovery to linked", statistics.median(found), DISCOVERY_BAR, "s", "less", spread(found), started_at),
        Figure("restart of the daemon to linked", statistics.median(again), RECONNECT_BAR, "s", "less", spread(again)),
        Figure("idle memory (PSS), looking for phones", memory, MEMORY_BAR, "MiB"),
    ]


def restarted(scene: Scene) -> int:
    """Return the cursor at which the daemon that runs now has started."""
    page = scene._get("/events?limit=1000")
    return max(int(event["cursor"]) for event in page["items"] if event["kind"] == "daemon.started")


if __name__ == "__main__":
    publish("discovery", measure)
