"""A real daemon in a process of its own, and devices that are linked to it, for the benchmarks that need one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from edgeloop_companion.host import BLOB_CONNECTIONS
from edgeloop_companion.link.blobs import BlobClient, Transfers
from edgeloop_companion.link.channels import Channels
from edgeloop_companion.link.connection import Command, LinkEnd, open_link
from edgeloop_companion.link.device_port import DevicePort, device_port
from edgeloop_companion.link.outbox import Outbox, RunRecords
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.daemon_process import start_daemon, wait_until_stopped
from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.devices.registry import PairedDevice, Registry
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.messages import CommandResult, Hello
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.records import Priority

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Daemon:
    """A running daemon with one trusted workspace."""

    client: Client
    pid: int
    pairings: tuple[Pairing, ...]
    folder: Path
    workspace: str

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.folder / "workspace"

    def start_run(self, script: str, device: str, *include: str) -> str:
        """Start `script` on a linked device, with what `include` names, and return the run's id."""
        body = {"script": script, "device": device, "include": list(include)}
        return str(self.client.post(f"/workspaces/{self.workspace}/runs", body)["id"])

    def cpu_seconds(self) -> float:
        """Return what the daemon has computed so far, in all of its threads."""
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running_daemon(devices: int = 1) -> Iterator[Daemon]:
    """Run a daemon on a state folder of its own for the block; its device port is on loopback, for paired devices."""
    folder = Path(tempfile.mkdtemp(prefix="edgeloop-benchmark-"))
    client = Client(Folders(folder / "state"))
    root = folder / "workspace"
    root.mkdir()
    (root / "edgeloop.toml").write_text('name = "benchmark"\n')
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    try:
        client.folders.create()
        paired = asyncio.run(pair(client.folders, devices))
        certificate = load_or_create_certificate(client.folders.certificate, client.folders.certificate_key)
        start_daemon(client, ["--device-host", ADDRESS])
        status = client.get("/status")
        pin, port = certificate.fingerprint.hex(), status["device_port"]
        pairings = tuple(Pairing(one.id, one.key.hex(), pin, (ADDRESS,), port, "host") for one in paired)
        workspace = client.post("/workspaces", {"path": str(root), "trust": True})["id"]
        yield Daemon(client, status["pid"], pairings, folder, workspace)
    finally:
        if client.is_running():
            client.post("/shutdown")
            wait_until_stopped(client.folders)
        shutil.rmtree(folder, ignore_errors=True)


async def pair(folders: Folders, devices: int) -> list[PairedDevice]:
    """Enter devices into the registry as pairing does, which would take minutes for a hundred of them."""
    async with open_database(folders.database) as database:
        registry = Registry(database)
        return [await registry.add(device_info(f"device {number}")) for number in range(devices)]


class DiskOutbox(Outbox):
    """The companion's own outbox in a folder, for a benchmark that knows its streams by name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.load()
        self._root = folder
        self._runs: dict[str, RunRecords] = {}

    async def append(self, stream: str, payload: bytes) -> int:
        """Add a payload and return the sequence number of its last record."""
        run_id, _, name = stream.partition(".")
        if run_id not in self._runs:
            (self._root / run_id).mkdir()
            self._runs[run_id] = await self.open_run(run_id, self._root / run_id, lambda: None)
        priority = Priority[name.upper()]
        await self._runs[run_id].append([(priority, payload)])
        return self._runs[run_id].state.last[priority]

    def records(self, run_id: str) -> RunRecords:
        """Return the records of a run that something was added to."""
        return self._runs[run_id]


@dataclass(frozen=True)
class Device:
    """A linked device: the companion's own link, outbox and transfers, and a script's part played by the benchmark."""

    id: str
    outbox: DiskOutbox
    port: DevicePort
    blobs: BlobClient
    transfers: Transfers
    bearer: str = field(repr=False)
    commands: asyncio.Queue[Command]
    ended: asyncio.Task[LinkEnd]


class _Nobody:
    """The workers of a device that has none."""

    async def connect(self, run_id: str, purpose: str) -> socket.socket:
        raise NotFoundError(f"Run {run_id} is not here, whatever {purpose} is.")


@contextlib.asynccontextmanager
async def linked(
    pairing: Pairing, store: BlobStore, *, outbox: DiskOutbox | None = None, transfers: Transfers | None = None
) -> AsyncIterator[Device]:
    """Keep a link for the block. Commands are accepted and put into the device's queue."""
    if outbox is None:
        outbox = DiskOutbox(Path(tempfile.mkdtemp(dir=store.path("").parent)))
    transfers = transfers or Transfers(store, "benchmark")
    commands: asyncio.Queue[Command] = asyncio.Queue()
    ready = asyncio.Event()

    async def accept(command: Command) -> CommandResult:
        commands.put_nowait(command)
        return CommandResult(command.command_id)

    async with (
        open_link(pairing, ADDRESS) as link,
        device_port(aiohttp.Fingerprint(pairing.pin), connections=BLOB_CONNECTIONS) as port,
    ):
        client = BlobClient(port, ADDRESS, pairing.port, link.bearer)
        hello = Hello(outbox.epoch, device_info("benchmark"), outbox.streams, outbox.run_ids)
        task = asyncio.create_task(
            link.run(hello, outbox, Channels(_Nobody(), outbox.ready.set), accept, on_ready=ready.set)
        )
        async with transfers.through(client):
            await ready.wait()
            try:
                yield Device(pairing.device_id, outbox, port, client, transfers, link.bearer, commands, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def device_info(name: str) -> DeviceInfo:
    """Return what a device says of itself."""
    return DeviceInfo(name, "benchmark", "Linux", "x86-64", 2, 1024**3, "1", "3.11")
