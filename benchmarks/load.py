"""Many devices that trace at once: what the daemon computes for them, as a share of one core, and that it loses nothing.

The devices are simulated by a process of its own (`load_parts.py`), over real links. The daemon's time is that of all its
threads, as the kernel counts it, from the first frame until the last one is stored.
"""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from daemon_parts import running_daemon
from figures import Figure, publish
from load_parts import OPERATORS, frame

from edgeloop_daemon.traces.blocks import unpack_columns
from edgeloop_shared.traces import TraceBatch, unpack_batch

SECONDS = 30.0


def measure() -> list[Figure]:
    """Return the figures of few quick devices and of many slower ones."""
    return [*under_load(20, 50.0, 50.0), *under_load(100, 10.0, 60.0)]


def under_load(devices: int, per_second: float, bar: float) -> Sequence[Figure]:
    """Let `devices` send so many frames a second each; return the daemon's share of a core and the frames lost."""
    with running_daemon(devices) as daemon:
        (daemon.root / "task.py").write_text("")
        command = [sys.executable, str(Path(__file__).with_name("load_parts.py"))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            pairings = [asdict(pairing) for pairing in daemon.pairings]
            plan = {"pairings": pairings, "per_second": per_second, "seconds": SECONDS}
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "linked\n"
            for pairing in daemon.pairings:
                daemon.start_run("task.py", pairing.device_id)
            assert process.stdout.readline() == "ready\n"
            before, begin = daemon.cpu_seconds(), time.monotonic()
            process.stdin.write("go\n")
            process.stdin.flush()
            report = json.loads(process.stdout.readline())
            taken = time.monotonic() - begin
            share = 100 * (daemon.cpu_seconds() - before) / taken
            process.communicate("end\n")
        wrong = wrong_frames(daemon.client.folders.database, report["runs"], report["frames"])
    title = f"{devices} devices, {per_second:g} frames/s each"
    measured = {"seconds": taken, "latest_frame_ms": report["late"] * 1e3}
    return [
        Figure(f"{title}: daemon", share, bar, unit="%", measured=measured),
        Figure(f"{title}: lost", wrong, 0, unit="", measured={"frames": report["frames"] * devices}),
    ]


def wrong_frames(database: Path, runs: Sequence[str], frames: int) -> int:
    """Return how many frames are not stored exactly once, in order and as they were sent."""
    sent = [event for number in range(1, frames + 1) for event in events(frame(number))]
    wrong = 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for run in runs:
            stored = list(stored_events(connection, run))
            different = sum(ours != theirs for ours, theirs in zip(sent, stored, strict=False))
            wrong += math.ceil((different + abs(len(sent) - len(stored))) / OPERATORS)
    return wrong


def stored_events(connection: sqlite3.Connection, run: str) -> Iterator[tuple[int, ...]]:
    """Yield the operators of a run's trace as the daemon keeps them: those in blocks, and those that lie in none yet."""
    blocks = "select content from trace_blocks where run = ? order by number"
    for (content,) in connection.execute(blocks, [run]):
        yield from events(unpack_columns(content))
    rest = "select payload from records where stream = ? and length(payload) > 0 order by sequence"
    for (payload,) in connection.execute(rest, [f"{run}.traces"]):
        yield from events(unpack_batch(payload))


def events(batch: TraceBatch) -> Iterator[tuple[int, ...]]:
    """Yield the operators of a batch as numbers."""
    return zip(batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns, strict=True)


if __name__ == "__main__":
    publish("load", measure)
