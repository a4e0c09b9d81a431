"""`edgeloop bench` on a real virtual device."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any]) -> CommandLine:
    """The workspace with models to measure, and a device linked."""
    command = [sys.executable, str(Path(__file__).with_name("measured_models.py")), str(workspace.folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return workspace


def test_a_matrix_shows_what_each_cell_costs_and_what_its_outputs_are_worth(project: CommandLine) -> None:
    project.run("quantize", "small.mnn", "--bits", "2")
    options = ("--inputs", "images.npz", "--precision", "high", "--precision", "low", "--rounds", "3", "--runs", "9")

    found = project.json("bench", "small.mnn", "small-int2.mnn", *options)

    cells = {(one["cell"]["model"], one["cell"]["precision"]): one["measurement"] for one in found["cells"]}
    assert len(cells) == 4
    assert cells["small.mnn", "high"]["is_exact"]
    assert cells["small-int2.mnn", "low"]["cosine"] < 0.99
    for measurement in cells.values():
        assert 0 < measurement["p50_ms"] <= measurement["p90_ms"] <= measurement["p99_ms"]
        assert [one["runs"] for one in measurement["rounds"]] == [3, 3, 3]
        assert measurement["noise"] >= 0.03
        assert measurement["peak_memory_bytes"] >= 0
    assert found["throttling"]["verdict"] in ("none", "throttled", "slowed")
    assert found["inputs"] == "the first sample of images.npz"
    stored = project.api(f"/runs/{found['run']}/bench")
    assert stored["cells"] == found["cells"]


def test_the_table_fits_80_columns_and_says_what_was_not_measured(project: CommandLine) -> None:
    text = project.run("bench", "small.mnn", "-b", "cpu", "-b", "opencl", "-t", "64", "-t", "1", "--runs", "3")

    assert max(map(len, text.splitlines())) <= 80
    assert "opencl: not measured, this build of MNN" in text
    assert "cpu normal x64: not measured, the device has" in text
    assert "cpu normal x1" in text
    assert "Noise: " in text


def test_a_slow_task_is_explained_beside_its_model_alone(project: CommandLine) -> None:
    (project.folder / "slow.py").write_text(
        "import sys, time, numpy, edgeloop_task\n"
        "import helper\n"
        "model = edgeloop_task.load_model(sys.argv[1])\n"
        "for image in numpy.load('images.npz')['image']:\n"
        "    model(image[None].astype('f8'))\n"
        "    helper.postprocess()\n"
    )
    (project.folder / "helper.py").write_text("import time\ndef postprocess(): time.sleep(0.01)\n")

    text = project.run("bench", "small.mnn", "--inside", "slow.py small.mnn", "--runs", "5")
    found = project.json("bench", "small.mnn", "--inside", "slow.py small.mnn", "--runs", "5")["inside"]

    assert "Inside slow.py (37 runs" in text
    assert "The script's own Python takes" in text
    assert found["between_ms"] >= 10
    assert found["runs"] == 37


def test_a_script_that_fails_or_runs_another_model_is_told(project: CommandLine) -> None:
    (project.folder / "fails.py").write_text("1 / 0\n")
    (project.folder / "other.py").write_text("print('no model')\n")

    assert "fails.py failed: exit code 1" in project.fail("bench", "small.mnn", "--inside", "fails.py")["message"]
    error = project.fail("bench", "small.mnn", "--inside", "other.py")
    assert "did not run small.mnn; it ran no model" in error["message"]
    assert error["code"] == "invalid-input"
    assert "names no script" in project.fail("bench", "small.mnn", "--inside", " ")["message"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("missing.mnn",), "There is no model missing.mnn"),
        (("../outside.mnn",), "outside the workspace"),
        (("network.onnx",), "network.onnx is an ONNX model"),
        (("text.mnn",), "text.mnn is not a whole MNN model"),
        (("small.mnn", "--inputs", "nothing.npz"), "There is no file nothing.npz"),
        (("small.mnn", "--inputs", "labels.npz"), "no array for the input 'image'"),
        (("small.mnn", "--device", "nowhere"), "nowhere"),
        (("small.mnn", "--matrix", *(("-t", "1", "-t", "2", "-t", "3", "-t", "4", "-t", "5", "-t", "6"))), "72 cells"),
    ],
)
def test_bad_input_is_named(project: CommandLine, arguments: tuple[str, ...], expected: str) -> None:
    (project.folder / "network.onnx").write_bytes(b"onnx")
    (project.folder / "text.mnn").write_text("not a model")
    subprocess.run(
        [sys.executable, "-c", "import numpy; numpy.savez('labels.npz', labels=[1])"], cwd=project.folder, check=True
    )

    assert expected in project.fail("bench", *arguments)["message"]


def test_an_interrupt_cancels_the_run_on_the_device(project: CommandLine) -> None:
    process = project.start("bench", "large.mnn", "--runs", "100000", "--rounds", "50")
    run = project.wait_for_run("running")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) == 1
    assert project.api(f"/runs/{run['id']}?wait=30")["state"] == "cancelled"


def test_an_ordinary_run_is_no_benchmark(project: CommandLine) -> None:
    (project.folder / "fine.py").write_text("print('fine')\n")
    run = project.json("run", "fine.py")

    with pytest.raises(urllib.error.HTTPError) as refused:
        project.api(f"/runs/{run['id']}/bench")
    with refused.value as answer:  # it holds the connection
        assert answer.code == 404
