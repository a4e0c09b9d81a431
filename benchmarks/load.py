"""Many devices that trace at once: what the daemon computes for them, as a share of one core, and that it loses nothing.

The devices are simulated by a process of its own (`load_parts.py`), over real links. The daemon's time is that of all its
threads, as the kernel counts it, from the first frame until the last one is stored.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from daemon_parts import running_daemon
from figures import Figure, publish
from load_parts import FRAME

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
    sql = "select sequence, payload from records where stream = ? order by sequence"
    expected = [(number, FRAME.pack(number)) for number in range(1, frames + 1)]
    wrong = 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for run in runs:
            stored = connection.execute(sql, [f"{run}.traces"]).fetchall()
            wrong += len(set(expected) ^ set(stored)) + (len(stored) - len(set(stored)))
    return wrong


if __name__ == "__main__":
    publish("load", measure)
