"""What it takes to find a corrupted layer of a variant on a device: seconds, and bytes over the link in both directions.

The network has the shape of MobileNetV2; in the variant one channel of one layer's weights is wrong. Ours is the whole of
`edgeloop diverge`, from the request to the verdict, and the verdict must name the layer. The peer is what one would do by hand: a
script that dumps the outputs of all operators on the device, which are brought back (and would then have to be compared). The
model is on the device already in either case, as the one that misbehaves is. Both go through a cable that counts all bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from cable_parts import Cable, laid
from daemon_parts import Daemon, running_daemon
from figures import Figure, interleaved_async, publish
from numpy.typing import NDArray
from tracing import save_network

import edgeloop_task
from edgeloop_companion.link.pairings import Pairings
from edgeloop_shared.errors import error_from_dict
from edgeloop_task import OperatorHit

ROUNDS = 3
SECONDS_BAR = 10.0
BYTES_BAR = 5_000_000
RATIO_BAR = 0.1
LAYER = 20  # of the layers with weights, the one that is corrupted
DUMP = """
import numpy as np
import edgeloop_task

model = edgeloop_task.load_model("variant.mnn")
image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
with edgeloop_task.break_on("*", action="dump"):
    model(image)
"""


class Searches:
    """Finds the layer our way, or dumps everything, and notes how many bytes that took."""

    def __init__(self, daemon: Daemon, cable: Cable, layer: str) -> None:
        self._daemon = daemon
        self._cable = cable
        self._layer = layer
        self.carried: dict[str, list[int]] = {"ours": [], "dump": []}

    async def edgeloop(self) -> float:
        """Find the layer; return the seconds."""
        before, begin = self._cable.carried, perf_counter()
        job = await asyncio.to_thread(self._diverge)
        taken = perf_counter() - begin
        assert job["result"]["operator"] == self._layer, job["result"]["verdict"]
        self.carried["ours"].append(self._cable.carried - before)
        return taken

    async def dump(self) -> float:
        """Bring back the outputs of all operators; return the seconds."""
        before, begin = self._cable.carried, perf_counter()
        await asyncio.to_thread(self._dump)
        taken = perf_counter() - begin
        self.carried["dump"].append(self._cable.carried - before)
        return taken

    def _diverge(self) -> dict[str, Any]:
        client, workspace = self._daemon.client, self._daemon.workspace
        body = {"model": "variant.mnn", "reference": "model.mnn"}
        job = client.post(f"/workspaces/{workspace}/tools/diverge", body)
        while job["state"] in ("queued", "running"):
            client.get(f"/jobs/{job['id']}/log", offset=10**9, wait=0.05)
            job = client.get(f"/jobs/{job['id']}")
        if job["error"]:
            raise error_from_dict(job["error"])
        return job

    def _dump(self) -> None:
        client = self._daemon.client
        run = self._daemon.start_run("dump.py", self._daemon.pairings[0].device_id, "variant.mnn")
        while True:
            found = client.get(f"/runs/{run}", wait=5)
            if found["error"]:
                raise error_from_dict(found["error"])
            if found["state"] == "succeeded" and all(file["is_received"] for file in found["files"]):
                return


def weights(path: Path) -> dict[str, NDArray[Any]]:
    """Return the weights of the operators that have some, in the order of execution."""
    found: dict[str, NDArray[Any]] = {}

    def note(hit: OperatorHit) -> None:
        if len(hit.inputs) > 1 and hit.type.startswith("Convolution"):
            found[hit.name] = hit.inputs[1].array

    with edgeloop_task.load_model(path) as model, edgeloop_task.break_on("* before", action=note, reports=0):
        model.run(np.zeros((1, 3, 224, 224), np.float32))
    return found


def corrupt(source: Path, target: Path) -> str:
    """Write a copy of the model in which a channel of one layer has other weights; return the layer's name."""
    good = weights(source)
    wrong = list(good.values())[LAYER]
    data = source.read_bytes()
    at = data.rindex(wrong.tobytes())
    changed = wrong.copy()
    changed[len(wrong) // 2] *= -1.5
    target.write_bytes(data[:at] + changed.tobytes() + data[at + wrong.nbytes :])
    (name,) = (name for name, array in weights(target).items() if not np.array_equal(array, good[name]))
    return name


@contextlib.asynccontextmanager
async def companion(daemon: Daemon, cable: Cable) -> AsyncIterator[None]:
    """Run the companion whose way to the daemon is the cable, for the block."""
    folder = daemon.folder / "companion"
    folder.mkdir(mode=0o700)
    Pairings(folder / "pairings.json").add(replace(daemon.pairings[0], port=cable.port))
    command = [sys.executable, "-m", "edgeloop_companion", "--state", str(folder), "--name", "device", "--virtual"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        await asyncio.to_thread(_wait_for_link, daemon)
        yield
    finally:
        process.terminate()
        await process.wait()


def _wait_for_link(daemon: Daemon) -> None:
    while not daemon.client.items("/devices")[0]["is_linked"]:
        sleep(0.02)


async def searches(daemon: Daemon) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Return the seconds and the bytes of both, by round."""
    save_network(daemon.root / "model.mnn")
    layer = corrupt(daemon.root / "model.mnn", daemon.root / "variant.mnn")
    (daemon.root / "dump.py").write_text(DUMP)
    async with laid(daemon.pairings[0].port) as cable, companion(daemon, cable):
        both = Searches(daemon, cable, layer)
        seconds = await interleaved_async(ROUNDS, {"ours": both.edgeloop, "dump": both.dump})
    return seconds, {name: carried[-ROUNDS:] for name, carried in both.carried.items()}


def measure() -> list[Figure]:
    """Return the figures."""
    with running_daemon() as daemon:
        seconds, carried = asyncio.run(searches(daemon))
    ours, dump = (statistics.median(carried[name]) for name in ("ours", "dump"))
    times = {f"{name}_s": statistics.median(taken) for name, taken in seconds.items()}
    return [
        Figure("a corrupted layer is found", times["ours_s"], SECONDS_BAR, unit="s", measured=times),
        Figure("over the link", ours / 1e6, BYTES_BAR / 1e6, unit="MB", measured={"ours_bytes": ours}),
        Figure(
            "bytes / a dump of all operators",
            ours / dump,
            RATIO_BAR,
            measured={"ours_bytes": ours, "peer_bytes": dump},
        ),
    ]


if __name__ == "__main__":
    publish("divergence", measure)
