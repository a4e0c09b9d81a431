"""The empty template's device script runs on this computer, with and without a model."""

from __future__ import annotations

import importlib.resources
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SMALL_MODEL = """
import sys
from MNN import expr
x = expr.placeholder([1, 4], expr.NCHW)
x.name = "x"
y = expr.relu(x)
y.name = "y"
expr.save([y], sys.argv[1])
"""


def run_script(folder: Path, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """Run the template's script in `folder`; return its plain lines and what it reported."""
    script = importlib.resources.files("edgeloop_plugins.templates") / "empty" / "run.py"
    with importlib.resources.as_file(script) as path:
        done = subprocess.run(
            [sys.executable, str(path), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    reported = {key: value for line in lines if line.startswith("{") for key, value in json.loads(line).items()}
    return [line for line in lines if not line.startswith("{")], reported


def test_without_a_model_the_script_reports_a_number(tmp_path: Path) -> None:
    lines, reported = run_script(tmp_path)
    assert reported == {"sum": 45.0}
    assert any("run.py model.mnn" in line for line in lines)


def test_with_a_model_the_script_runs_and_times_it(tmp_path: Path) -> None:
    model = tmp_path / "small.mnn"
    subprocess.run([sys.executable, "-c", SMALL_MODEL, str(model)], capture_output=True, timeout=60, check=True)
    lines, reported = run_script(tmp_path, str(model))
    assert any(line.startswith("y: shape (1, 4)") for line in lines)
    assert 0 < reported["p50_ms"] <= reported["p90_ms"]
