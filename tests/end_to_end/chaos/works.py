"""What the storm lets edgeloop do: a workspace whose training and device script tell outside what they have done."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

LINES = 80
ARTIFACT_BYTES = 200_000
FILE_BYTES = 300_000
INFERENCES = 5

TRAIN = f"""
import json, os, pathlib, time
truth, key = pathlib.Path(os.environ["EDGELOOP_DATA_TRUTH"]), os.environ["EDGELOOP_RUN_ID"]
with (truth / key).open("a") as begun:
    begun.write("begun\\n")
for number in range({LINES}):
    print(f"{{key}} line {{number}}")
    print(json.dumps({{"step": number, "number": number / 2}}), flush=True)
    time.sleep(0.015)
pathlib.Path(os.environ["EDGELOOP_OUTPUT"], "weights.bin").write_bytes((key * {ARTIFACT_BYTES})[:{ARTIFACT_BYTES}].encode())
"""

TASK = f"""
import pathlib, sys, time
import edgeloop_task
truth, key = pathlib.Path(sys.argv[1]), sys.argv[2]
with (truth / key).open("a") as begun:
    begun.write("begun\\n")
if sys.argv[3] == "traced":
    import numpy
    model = edgeloop_task.load_model("tiny.mnn")
    for _ in range({INFERENCES}):
        model(numpy.zeros((1, 5, 2, 2), numpy.float32))
for number in range({LINES}):
    print(f"{{key}} line {{number}}", flush=True)
    edgeloop_task.report_metric("number", number / 2, step=number)
    time.sleep(0.015)
pathlib.Path("report.bin").write_bytes((key * {FILE_BYTES})[:{FILE_BYTES}].encode())
edgeloop_task.report_file("report.bin")
edgeloop_task.report_result(key=key, lines={LINES})
"""

_TINY = """
import sys
import MNN.expr as F
x = F.placeholder([1, 5, 2, 2], F.NC4HW4, F.float)
x.name = "x"
y = F.negative(x)
y.name = "negated"
F.save([y], sys.argv[1])
"""


def lay_out(folder: Path, truth: Path) -> None:
    """Fill a workspace that the template `empty` has made."""
    (folder / "train.py").write_text(TRAIN)
    (folder / "task.py").write_text(TASK)
    (folder / "edgeloop.toml").write_text(
        f'name = "storm"\n[train]\ncommand = "python train.py"\n[train.data]\ntruth = "{truth}"\n'
    )
    subprocess.run([sys.executable, "-c", _TINY, str(folder / "tiny.mnn")], check=True)


def digest(key: str, size: int) -> str:
    """Return the SHA-256 of the bytes that a work writes."""
    return hashlib.sha256((key * size)[:size].encode()).hexdigest()
