"""A daemon and phones on the computers of a small network: the daemon's own device services, whole companions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from companion_app.companion_fixtures import INFO, Observer
from namespace_parts import Computer

from edgeloop_companion.companion import Companion, running
from edgeloop_companion.link.advertising import Advertising
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.devices.device_list import Device
from edgeloop_daemon.devices.devices import DeviceServices, open_devices
from edgeloop_daemon.devices.registry import PairedDevice, Registry
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.doctor.finding import RunningDaemon, Subject
from edgeloop_daemon.doctor.network_view import network_view
from edgeloop_daemon.events.event_log import EventLog, open_event_log
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.codec import encode
from edgeloop_shared.messages import HEARTBEAT_SECONDS
from edgeloop_shared.models import DeviceInfo

SECONDS = 40.0
NOWHERE = ("198.18.7.250", 9)  # of a computer that is not there


def device_info(name: str) -> DeviceInfo:
    return DeviceInfo(name, "test", "Linux", "x86-64", 2, 1024**3, "1", "3.11")


async def until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait until something holds, and return it."""
    async with asyncio.timeout(seconds):
        while not (found := holds()):  # noqa: ASYNC110 - it happens in parts that know nothing of tests
            await asyncio.sleep(0.01)
    return found


@dataclass
class DaemonThere:
    """The device services on `computer`."""

    computer: Computer
    folders: Folders
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    services: DeviceServices | None = None
    database: Database | None = None
    log: EventLog | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def start(self) -> None:
        self.computer.do(self._start())

    def stop(self) -> None:
        self.computer.do(self._stack.aclose())

    def until(self, holds: Callable[[DeviceServices], Any]) -> Any:
        assert self.services is not None
        return self.computer.do(until(lambda: holds(self.services)), SECONDS + 5)  # type: ignore[arg-type]

    def device(self, name: str) -> Device:
        assert self.services is not None
        return next(device for device in self.services.devices.list() if device.info.name == name)

    def until_linked(self, *names: str) -> None:
        """Wait until devices are linked and have introduced themselves."""

        def are_linked(services: DeviceServices) -> bool:
            linked = {device.info.name for device in services.devices.list() if device.is_linked and device.network}
            return linked.issuperset(names)

        self.until(are_linked)

    def run(self, script: str) -> Run:
        """Run a script on the only linked device; its workspace is beside the daemon's state."""
        root = self.folders.root / "workspace"
        root.mkdir(exist_ok=True)
        (root / "task.py").write_text(script)

        async def start() -> Run:
            assert self.database is not None
            assert self.services is not None
            await self.database.write(
                lambda db: db.execute(
                    "insert or ignore into workspaces (id, path, name, opened_at) values ('w1', ?, 'work', 0)",
                    [str(root)],
                )
            )
            return await self.services.runs.start(RunWorkspace("w1", root, name="work"), "task.py")

        return self.computer.do(start())

    def lines(self, run: Run) -> list[str]:
        """Return what a run has printed so far."""

        async def read() -> list[str]:
            assert self.services is not None
            found: list[str] = []
            offset = 0
            while True:
                page = await self.services.runs.log(run.id, offset)
                found += [line.text for line in page.items if line.source == "stdout"]
                if page.next_offset == offset:
                    return found
                offset = page.next_offset

        return self.computer.do(read())

    def ended(self, run: Run) -> Run:
        """Return a run once it has ended."""

        async def wait() -> Run:
            assert self.services is not None
            return await self.services.runs.get(run.id, wait=SECONDS, for_good=True)

        return self.computer.do(wait(), SECONDS + 5)

    def happened(self, kind: str) -> list[Any]:
        """Return the data of the events of a kind."""
        assert self.log is not None
        page = self.computer.do(self.log.page(0, limit=1000))
        return [event.data for event in page.items if event.kind == kind]

    def subject(self) -> Subject:
        """Return what the doctor is given to look at."""
        assert self.services is not None
        services = self.services
        view = network_view(encode(services.devices.list()), encode(services.discovery.nearby()))
        daemon = RunningDaemon("1", 1, 1, services.listener.port, services.listener.addresses, (), frozenset(), view)
        return Subject(self.folders, daemon)

    async def _start(self) -> None:
        stack = self._stack = AsyncExitStack()
        self.database = await stack.enter_async_context(open_database(self.folders.database))
        self.log = await stack.enter_async_context(open_event_log(self.database))
        self.services = await stack.enter_async_context(
            open_devices(
                self.folders,
                self.database,
                BlobStore(self.folders.blobs),
                host_name="desk",
                mdns=True,
                heartbeat_seconds=self.heartbeat_seconds,
            )
        )
        self.services.discovery.begin()


@dataclass
class PhoneThere:
    """A companion on `computer`."""

    computer: Computer
    folder: Path
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    observer: Observer = field(default_factory=Observer)
    companion: Companion | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def start(self, *pairings: Pairing, advertised: bool = True) -> None:
        self.computer.do(self._start(pairings, advertised))

    def stop(self) -> None:
        self.computer.do(self._stack.aclose())

    @property
    def advertising(self) -> Advertising:
        assert self.companion is not None
        return self.companion.advertising

    def switch(self, is_on: bool) -> None:
        async def switch() -> None:
            self.advertising.switch(is_on)

        self.computer.do(switch())

    def until(self, holds: Callable[[], Any]) -> Any:
        return self.computer.do(until(holds), SECONDS + 5)

    async def _start(self, pairings: tuple[Pairing, ...], advertised: bool) -> None:
        self._stack = AsyncExitStack()
        state = await asyncio.to_thread(StateFolder, self.folder)
        self.companion = await self._stack.enter_async_context(
            running(state, INFO, self.observer, is_advertised=advertised, heartbeat_seconds=self.heartbeat_seconds)
        )
        for pairing in pairings:
            self.companion.serve(pairing)


@contextlib.contextmanager
def daemon_on(computer: Computer, folder: Path) -> Iterator[DaemonThere]:
    """Keep a daemon for the block; it is not started yet."""
    folders = Folders(folder)
    folders.create()
    daemon = DaemonThere(computer, folders)
    try:
        yield daemon
    finally:
        daemon.stop()


@contextlib.contextmanager
def phone_on(computer: Computer, folder: Path) -> Iterator[PhoneThere]:
    """Keep a phone for the block; it is not started yet."""
    phone = PhoneThere(computer, folder)
    try:
        yield phone
    finally:
        phone.stop()


def paired(daemon: DaemonThere, *names: str, address: str = NOWHERE[0], port: int = NOWHERE[1]) -> list[Pairing]:
    """Pair devices with a daemon that is not running; they know an address of it that is wrong."""

    async def register() -> list[PairedDevice]:
        async with open_database(daemon.folders.database) as database:
            registry = Registry(database)
            return [await registry.add(device_info(name)) for name in names]

    certificate = load_or_create_certificate(daemon.folders.certificate, daemon.folders.certificate_key)
    pin = certificate.fingerprint.hex()
    devices = daemon.computer.do(register())
    return [Pairing(one.id, one.key.hex(), pin, (address,), port, "desk") for one in devices]


def send(computer: Computer, datagram: bytes, target: tuple[str, int], source: str | None = None) -> None:
    """Send a datagram from a computer, as anybody there can."""

    async def from_there() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            if source is not None:
                sender.bind((source, 0))
            sender.sendto(datagram, target)

    computer.do(from_there())
