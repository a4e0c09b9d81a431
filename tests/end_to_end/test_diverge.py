"""`edgeloop diverge` on a real virtual device."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

MODELS = Path(__file__).parents[1] / "plugins" / "divergence" / "divergence_models.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diverging")
    subprocess.run([sys.executable, str(MODELS), str(folder)], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def project(workspace: CommandLine, device: dict[str, Any], models: Path) -> CommandLine:
    for name in ("good.mnn", "wrong.mnn", "good.onnx"):
        shutil.copy(models / name, workspace.folder / name)
    return workspace


def test_a_wrong_layer_is_named_on_a_device_and_the_status_says_that_something_was_found(project: CommandLine) -> None:
    done = project.call("diverge", "wrong.mnn", "--reference", "good.mnn", "--source", "good.onnx")

    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert done.stdout.replace("\n", " ").startswith(
        "The device and the reference diverge at the operator conv3 (Convolution, ONNX node Conv_3 (Conv)): its inputs agree"
    )
    assert any(line.startswith("device     pocket: wrong.mnn, cpu normal x1, MNN ") for line in lines)
    (marked,) = [line for line in lines if line.startswith("> ")]
    assert marked.split()[2] == "conv3"


def test_agreement_ends_with_0_and_what_cannot_be_compared_with_2(project: CommandLine, models: Path) -> None:
    # The model lies outside of the workspace and is taken along all the same.
    found = project.json("diverge", str(models / "good.mnn"), "--against", "cpu:high")
    assert (found["finding"], found["exit_status"]) == ("none", 0)
    assert found["reference"]["options"] == "cpu high x1"
    assert found["received_bytes"] > 0

    project.run("device", "virtual", "--allow", "--name", "second")
    try:
        between = project.json("diverge", "good.mnn", "-d", "pocket", "--against", "device:second")
    finally:
        project.run("device", "stop", "second")
    assert (between["finding"], between["device"]["place"], between["reference"]["place"]) == (
        "none",
        "pocket",
        "second",
    )

    for arguments, words in (
        (("gone.mnn",), "There is no file"),
        (("good.mnn", "--min-snr", "-1"), "min-snr"),
    ):
        done = project.call("diverge", "--json", *arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert words in json.loads(done.stdout)["error"]["message"]


def test_an_interrupted_search_takes_its_run_on_the_device_along(project: CommandLine) -> None:
    (project.folder / "forever.py").write_text(
        "import time\nimport edgeloop_task\nedgeloop_task.stage('one', [1.0])\nprint('here', flush=True)\n"
        "while True:\n    time.sleep(0.05)\n"
    )
    searching = project.start("diverge", "forever.py")
    project.wait_for_run("running")
    searching.send_signal(signal.SIGINT)

    assert searching.wait(60) == 2
    project.wait_for_run("cancelled")


def test_the_token_of_a_job_opens_nothing_else(project: CommandLine) -> None:
    (project.folder / "forever.py").write_text("import time\nwhile True:\n    time.sleep(0.05)\n")
    searching = project.start("diverge", "forever.py")
    run = project.wait_for_run("running")
    job = project.api("/jobs?limit=1")["items"][0]
    door = json.loads((project.home / "jobs" / job["id"] / "runtime.json").read_text())

    def status(path: str) -> int:
        url = f"http://127.0.0.1:{door['port']}/api/v1{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {door['token']}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status(f"/runs/{run['id']}") == 200
    assert [status(path) for path in ("/runs", "/jobs", f"/jobs/{job['id']}", "/plugins", "/tokens")] == [403] * 5
    assert status(f"/runs/{run['id']}/../../jobs") in (403, 404)
    project.run("cancel", job["id"])
    searching.wait(60)
    project.wait_for_run("cancelled")
    assert status(f"/runs/{run['id']}") == 401
