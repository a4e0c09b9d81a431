"""A device script on a plain PC: `python task.py`, without a companion."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from companion_app.task_models import random

SCRIPT = """
import sys
import time
import numpy as np
import edgeloop_task

model = edgeloop_task.load_model(sys.argv[1])
image = np.load("image.npy")
with edgeloop_task.trace():
    for step in range(3):
        scores = model(image)
        edgeloop_task.report_metric("mean", scores.mean(), step)
np.save("scores.npy", scores)
edgeloop_task.report_file("scores.npy")
timing = model.time(image, repeats=5, warmup=1)
edgeloop_task.report_result(p50_ms=timing.p50_ms, outputs=[output.name for output in model.outputs])
"""


def python(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "task.py").write_text(script)
    return subprocess.run(
        [sys.executable, "task.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_a_script_prints_its_reports_and_leaves_its_files(models: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", random(1, 3, 8, 8))
    done = python(tmp_path, SCRIPT, str(models / "network.mnn"))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]  # nothing but JSON: no banner of MNN
    assert [line["step"] for line in lines[:3]] == [0, 1, 2]
    assert lines[3]["outputs"] == ["pooled"]
    assert lines[3]["p50_ms"] > 0
    scores = np.load(tmp_path / "edgeloop-output/scores.npy")
    assert scores.mean() == np.float32(lines[0]["mean"])
    events = json.loads((tmp_path / "edgeloop-output/trace.json").read_text())["traceEvents"]
    spans = [event for event in events if "mflops" in event.get("args", ())]
    assert {event["args"]["iteration"] for event in spans} == {0, 1, 2}
    assert "Convolution" in {event["cat"] for event in spans}


def test_a_script_that_does_not_trace_leaves_no_trace(models: Path, tmp_path: Path) -> None:
    done = python(tmp_path, "import edgeloop_task\nedgeloop_task.report_result(answer=42)\n")

    assert json.loads(done.stdout) == {"answer": 42}
    assert [path.name for path in tmp_path.iterdir()] == ["task.py"]


def test_a_trace_without_a_model_tells_when_it_was_made(tmp_path: Path) -> None:
    before = time.time_ns()
    python(tmp_path, "import edgeloop_task as e\nwith e.trace(), e.span('work'): pass\n")
    trace = json.loads((tmp_path / "edgeloop-output/trace.json").read_text())
    assert before <= int(trace["otherData"]["origin_unix_ns"]) <= time.time_ns()


def test_a_script_that_fails_shows_the_hint_and_still_writes_its_trace(models: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", random(1, 3, 8, 8))
    done = python(tmp_path, SCRIPT + "model(image[0])\n", str(models / "network.mnn"))

    assert done.returncode == 1
    assert "the model takes [1, 3, 8, 8]" in done.stderr.splitlines()[-1]
    assert "array[None]" in done.stderr
    assert (tmp_path / "edgeloop-output/trace.json").is_file()


def test_importing_costs_neither_mnn_nor_output(tmp_path: Path) -> None:
    done = python(tmp_path, "import sys, edgeloop_task\nprint('MNN' in sys.modules)\n")
    assert (done.stdout, done.stderr) == ("False\n", "")
