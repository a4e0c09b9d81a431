"""The companion app while it works and while it does not: the gaps between its frames as a traced task streams, and what it idles.

A real daemon, and the real app in the window that `edgeloop companion` opens, drawn by Mesa's software driver on the cores that
the daemon and the task share with it. The task runs a small model traced for some seconds, as quickly as it can, and prints.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from daemon_parts import Daemon, running_daemon
from figures import Figure, percentile, publish

from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_task.self_test import write_dense_layer

RUNS = 3
GAP_BAR, LONGEST_BAR, IDLE_BAR, START_BAR = 0.050, 0.100, 0.03, 5.0
SCRIPT = """
import time
import numpy
import edgeloop_task

model = edgeloop_task.load_model("layer.mnn")
row = numpy.ones((1, 256), numpy.float32)
end = time.monotonic() + 8
step = 0
while time.monotonic() < end:
    model(row)
    step += 1
    if step % 100 == 0:
        print("step", step, flush=True)
        edgeloop_task.report_metric("step", step)
"""


def one_app(daemon: Daemon, state: Path) -> dict[str, Any]:
    """Open the app once, let it idle, run a traced task on it; return what it said and when it was started."""
    Pairings(StateFolder(state).pairings).add(daemon.pairings[0])
    parts = Path(__file__).with_name("screen_parts.py")
    said: dict[str, Any] = {"started": time.time()}
    with subprocess.Popen([sys.executable, str(parts), str(state)], stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        for line in app.stdout:
            said |= json.loads(line)
            if "idle" in said and "run" not in said:
                body = {
                    "script": "task.py",
                    "device": daemon.pairings[0].device_id,
                    "include": ["layer.mnn"],
                    "trace": True,
                }
                said["run"] = daemon.client.post(f"/workspaces/{daemon.workspace}/runs", body)["id"]
    return said


def measure() -> list[Figure]:
    """Return all figures."""
    with running_daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        (daemon.root / "task.py").write_text(SCRIPT)
        generator = np.random.default_rng(0)
        weights = generator.normal(size=(256, 64)).astype(np.float32)
        write_dense_layer(daemon.root / "layer.mnn", weights, np.zeros(64, np.float32))
        said = [one_app(daemon, Path(folder) / "phone") for _ in range(RUNS)]
    gaps = [gap for one in said for gap in one["gaps"]]
    computed = [seconds for one in said for seconds in one["computed"]]
    started = [one["shown"] - one["started"] for one in said]
    measured = {"frames": float(len(gaps)), "median_ms": statistics.median(gaps) * 1000}
    of_it = {"p99_ms": percentile(computed, 99) * 1000, "median_ms": statistics.median(computed) * 1000}
    return [
        Figure(
            "gap between frames, p99, while a traced task streams",
            percentile(gaps, 99),
            GAP_BAR,
            "s",
            measured=measured,
        ),
        Figure("longest gap between frames, while a traced task streams", max(gaps), LONGEST_BAR, "s"),
        Figure("longest computing of the app's thread within a frame", max(computed), LONGEST_BAR, "s", measured=of_it),
        Figure("idle app, of one core", statistics.median(one["idle"] for one in said), IDLE_BAR, "cores"),
        Figure("start of the app to its first frame", statistics.median(started), START_BAR, "s"),
    ]


if __name__ == "__main__":
    publish("screen", measure)
