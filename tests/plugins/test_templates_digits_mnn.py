"""The digits template, for real: it trains, its model shrinks, and its device script runs on this computer."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def run(script: str, *arguments: str, folder: Path, **environment: str) -> list[str]:
    """Run a script of the workspace with plain Python; return its lines."""
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def json_lines(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template, in which a training ran once; its output is in `train.log`."""
    folder = tmp_path_factory.mktemp("digits") / "workspace"
    template = importlib.resources.files("edgeloop_plugins.templates") / "digits_mnn"
    with importlib.resources.as_file(template) as source:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    lines = run("train.py", folder=folder, EDGELOOP_OUTPUT=str(folder / "artifacts" / "latest"))
    (folder / "train.log").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def evaluation(workspace: Path) -> dict[str, Any]:
    """What `python evaluate.py` reports without any argument, all of its JSON lines merged."""
    return {key: value for record in json_lines(run("evaluate.py", folder=workspace)) for key, value in record.items()}


def test_the_training_prints_its_curve_and_learns(workspace: Path) -> None:
    records = json_lines((workspace / "train.log").read_text(encoding="utf-8").splitlines())
    curve = [record for record in records if "loss" in record]
    steps = [record["step"] for record in curve]
    assert len(curve) >= 10
    assert steps == sorted(set(steps))
    assert curve[-1]["loss"] < 0.3 * curve[0]["loss"]
    assert records[-1]["heldout_accuracy"] >= 0.95


def test_the_held_out_images_fit_the_model_and_were_not_learned_from(workspace: Path) -> None:
    with np.load(workspace / "artifacts/latest/heldout.npz") as heldout:
        images, labels = heldout["image"], heldout["labels"]
    assert images.shape == (360, 1, 32, 32)
    assert images.dtype == np.float32
    assert labels.shape == (360,)
    assert -1 <= images.min() < -0.9 < 0.9 < images.max() <= 1
    assert set(labels.tolist()) == set(range(10))


@pytest.mark.parametrize(
    ("options", "largest_share"),
    [(["--fp16"], 0.55), (["--weightQuantBits", "8"], 0.35), (["--weightQuantBits", "4"], 0.22)],
    ids=["fp16", "8-bit", "4-bit"],
)
def test_the_model_shrinks_and_stays_right(
    workspace: Path, tmp_path: Path, options: list[str], largest_share: float
) -> None:
    model, small = workspace / "artifacts/latest/digits.mnn", tmp_path / "small.mnn"
    convert = "import sys, _tools; _tools.mnnconvert(sys.argv)"
    arguments = ["-f", "MNN", "--modelFile", str(model), "--MNNModel", str(small), *options]
    subprocess.run([sys.executable, "-c", convert, *arguments], capture_output=True, timeout=60, check=True)
    assert small.stat().st_size <= largest_share * model.stat().st_size

    run("evaluate.py", str(small), "artifacts/latest/heldout.npz", folder=workspace)
    assert top1(workspace / "edgeloop-output/predictions.npz") >= 0.95


def test_the_device_script_runs_with_plain_python(workspace: Path, evaluation: dict[str, Any]) -> None:
    assert evaluation["samples"] == 360
    assert evaluation["accuracy"] >= 0.95
    assert 0 < evaluation["p50_ms"] <= evaluation["p90_ms"]
    right = [mine == label for mine, label in zip(evaluation["predictions"], evaluation["labels"], strict=True)]
    assert sum(right) / len(right) == evaluation["accuracy"]
    assert evaluation["session_memory_bytes"] > (workspace / "artifacts/latest/digits.mnn").stat().st_size // 2
    assert evaluation["peak_memory_bytes"] >= 0


def test_the_trained_network_and_the_saved_model_agree(workspace: Path, evaluation: dict[str, Any]) -> None:
    records = json_lines((workspace / "train.log").read_text(encoding="utf-8").splitlines())
    assert abs(evaluation["accuracy"] - records[-1]["heldout_accuracy"]) < 1 / 360


def test_one_inference_is_long_enough_to_be_measured(evaluation: dict[str, Any]) -> None:
    assert evaluation["p50_ms"] >= 0.3  # 0.6 ms on the machine it was made on; this leaves room for a quicker one


def top1(predictions: Path) -> float:
    with np.load(predictions) as arrays:
        return float(np.mean(arrays["scores"].argmax(1) == arrays["labels"]))
