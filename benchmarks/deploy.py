"""A second deploy, after one line of a script has changed beside a model of 50 MB: what it sends and takes, beside rsync.

Ours begins with the request that starts a run and ends when the device has all files of the bundle, checked: the daemon looks at
the workspace, makes the manifest and sends the command; the device fetches the manifest and what it lacks, with the companion's
own transfers. The peer is `rsync --archive` to an rsync daemon. Both go through a cable that counts all bytes in both directions.
Neither side's start as a process counts: what `rsync --version` takes is taken off rsync's time, and `edgeloop` runs already.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cable_parts import ADDRESS, Cable, laid
from daemon_parts import Daemon, Device, linked, running_daemon
from figures import Figure, interleaved_async, publish, ratio

from edgeloop_companion.runtime.bundles import read_manifest
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_shared.messages import RunTask

MODEL_BYTES = 50 * 1000**2
SCRIPT_LINES = 60
SLACK = 4 * 1024  # bytes beyond the script
ROUNDS = 15


class Deploys:
    """Changes the script and brings it over, our way or rsync's, and notes how many bytes that took."""

    def __init__(self, daemon: Daemon, device: Device, ours: Cable, theirs: Cable) -> None:
        self._daemon = daemon
        self._device = device
        self._ours, self._theirs = ours, theirs
        self.sent: dict[str, list[int]] = {"ours": [], "rsync": []}

    @property
    def script(self) -> Path:
        """The file that changes."""
        return self._daemon.root / "task.py"

    def change(self) -> None:
        """Change one line of the script."""
        lines = [f"value_{number} = compute({number}, 'some argument')\n" for number in range(SCRIPT_LINES)]
        lines[SCRIPT_LINES // 2] = f"threshold = '{secrets.token_hex(8)}'\n"
        self.script.write_text("".join(lines))

    async def edgeloop(self) -> float:
        """Deploy our way; return the milliseconds."""
        self.change()
        before, begin = self._ours.carried, time.perf_counter()
        await asyncio.to_thread(self._daemon.start_run, "task.py", self._device.id, "model.bin")
        command = await self._device.commands.get()
        assert isinstance(command, RunTask)
        store = self._device.transfers.store
        await self._device.transfers.fetch(command.manifest, command.manifest_bytes, lambda _: None)
        manifest = read_manifest(store.path(command.manifest).read_bytes(), command.script)
        for sha256, size in store.missing(manifest.sizes).items():
            await self._device.transfers.fetch(sha256, size, lambda _: None)
        taken = time.perf_counter() - begin
        self.sent["ours"].append(self._ours.carried - before)
        return taken * 1e3

    async def rsync(self) -> float:
        """Deploy with rsync; return the milliseconds without its start."""
        self.change()
        begin = time.perf_counter()
        await run("rsync", "--version")
        started = time.perf_counter() - begin
        before, begin = self._theirs.carried, time.perf_counter()
        await run(
            "rsync",
            "--archive",
            "--exclude=.git",
            f"{self._daemon.root}/",
            f"rsync://{ADDRESS}:{self._theirs.port}/workspace",
        )
        taken = time.perf_counter() - begin - started
        self.sent["rsync"].append(self._theirs.carried - before)
        return taken * 1e3


async def run(*command: str) -> None:
    """Run a program that must succeed."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await process.wait() == 0, command


@contextlib.contextmanager
def rsync_daemon(folder: Path) -> Iterator[int]:
    """Serve a module `workspace` below `folder` by rsync on loopback; yield its port."""
    (folder / "rsync").mkdir()
    settings = folder / "rsyncd.conf"
    settings.write_text(
        f"use chroot = no\n[workspace]\npath = {folder / 'rsync'}\nread only = no\nuid = root\ngid = root\n"
        if sys.platform == "linux" and Path.home() == Path("/root")
        else f"use chroot = no\n[workspace]\npath = {folder / 'rsync'}\nread only = no\n"
    )
    with socket.create_server((ADDRESS, 0)) as free:
        port = int(free.getsockname()[1])
    command = ["rsync", "--daemon", "--no-detach", "--config", str(settings), "--address", ADDRESS, "--port", str(port)]
    with subprocess.Popen(command) as process:
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection((ADDRESS, port)).close()
                    break
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()


async def deploys(daemon: Daemon, rsync_port: int) -> list[Figure]:
    """Deploy in turns."""
    (daemon.root / "model.bin").write_bytes(secrets.token_bytes(MODEL_BYTES))
    (pairing,) = daemon.pairings
    store = BlobStore(daemon.folder / "device" / "blobs")
    async with laid(pairing.port) as ours, laid(rsync_port) as theirs:
        async with linked(replace(pairing, port=ours.port), store) as device:
            both = Deploys(daemon, device, ours, theirs)
            both.change()
            await asyncio.sleep(2.1)  # the model was written too lately for the daemon to trust its time stamp
            await both.edgeloop()
            await both.rsync()
            both.sent = {"ours": [], "rsync": []}
            taken = await interleaved_async(ROUNDS, {"ours": both.edgeloop, "rsync": both.rsync}, warm_up=2)
        script = both.script.stat().st_size
    measured = {"script_bytes": script, "rsync_bytes": max(both.sent["rsync"])}
    return [
        ratio("second deploy / rsync, time", 1.0, taken["ours"], taken["rsync"], unit="ms"),
        Figure(
            "second deploy, bytes beyond the script",
            max(both.sent["ours"]) - script,
            SLACK,
            unit="B",
            measured=measured,
        ),
    ]


def measure() -> list[Figure]:
    """Return both figures."""
    assert shutil.which("rsync"), "rsync is not installed"
    with running_daemon() as daemon, rsync_daemon(daemon.folder) as port:
        return asyncio.run(deploys(daemon, port))


if __name__ == "__main__":
    publish("deploy", measure)
