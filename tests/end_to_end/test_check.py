"""`edgeloop check` on a real virtual device: a gate for CI."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

BASELINES = "edgeloop-baselines.json"
SPEED = '[check.speed]\nmodel = "model.mnn"\nmax_latency_ratio = 1.5\n'
QUICK = ("--runs", "9", "--rounds", "3")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, str(Path(__file__).with_name("measured_models.py")), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture
def project(workspace: CommandLine, device: dict[str, Any], models: Path) -> Iterator[CommandLine]:
    """The workspace with the small model as `model.mnn`, as its own `reference.mnn` and without baselines."""
    settings = workspace.folder / "edgeloop.toml"
    text = settings.read_text()
    shutil.copy(models / "small.mnn", workspace.folder / "model.mnn")
    shutil.copy(models / "small.mnn", workspace.folder / "reference.mnn")
    shutil.copy(models / "images.npz", workspace.folder / "images.npz")
    yield workspace
    settings.write_text(text)
    (workspace.folder / BASELINES).unlink(missing_ok=True)


def expect(project: CommandLine, text: str) -> None:
    path = project.folder / "edgeloop.toml"
    path.write_text(path.read_text() + "\n" + text)


def check(project: CommandLine, *arguments: str, status: int) -> dict[str, str]:
    """Return the verdicts by `check expectation` of a check that ends with `status`."""
    done = project.call("check", "--json", *QUICK, *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return {f"{one['check']} {one['expectation']}": one["verdict"] for one in json.loads(done.stdout)["judgements"]}


def refused(project: CommandLine, *arguments: str) -> str:
    """Return the message of the error with which a check ends."""
    done = project.call("check", "--json", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    message: str = json.loads(done.stdout)["error"]["message"]
    return message


def test_a_model_that_lost_accuracy_and_grew_fails_where_the_good_one_passes(
    project: CommandLine, models: Path
) -> None:
    expect(
        project,
        '[check.quality]\nmodel = "model.mnn"\ninputs = "images.npz"\nmin_accuracy = 0.9\n'
        'reference = "reference.mnn"\nmin_cosine = 0.99\nmax_bytes = 100000\n',
    )
    assert check(project, status=0) == {"quality accuracy": "pass", "quality cosine": "pass", "quality bytes": "pass"}

    shutil.copy(models / "large.mnn", project.folder / "model.mnn")

    assert check(project, status=1) == {"quality accuracy": "fail", "quality cosine": "fail", "quality bytes": "fail"}


def test_a_slower_model_fails_against_the_baseline_of_the_same_device(project: CommandLine, models: Path) -> None:
    expect(project, SPEED)
    assert check(project, status=1) == {"speed latency": "no-baseline"}
    assert check(project, "--update-baseline", status=0) == {"speed latency": "pass"}
    stored = json.loads((project.folder / BASELINES).read_text())["devices"]
    assert [entry["name"] for entry in stored.values()] == ["pocket"]

    shutil.copy(models / "large.mnn", project.folder / "model.mnn")

    assert check(project, status=1) == {"speed latency": "fail"}
    assert json.loads((project.folder / BASELINES).read_text())["devices"] == stored


def test_the_baseline_of_another_device_is_never_taken(project: CommandLine) -> None:
    expect(project, SPEED)
    check(project, "--update-baseline", status=0)
    text = (project.folder / BASELINES).read_text()
    (own,) = json.loads(text)["devices"]
    (project.folder / BASELINES).write_text(text.replace(own, "dother"))

    assert check(project, status=1) == {"speed latency": "no-baseline"}
    check(project, "--update-baseline", status=0)
    assert set(json.loads((project.folder / BASELINES).read_text())["devices"]) == {"dother", own}


def test_the_table_fits_80_columns_and_says_how_to_get_a_baseline(project: CommandLine) -> None:
    expect(project, SPEED)
    done = project.call("check", *QUICK)

    assert done.returncode == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "no baseline of this device" in done.stdout
    assert "edgeloop check --update-baseline" in done.stdout
    assert "1 of 1 expectations are not met" in done.stdout


def test_results_of_a_script_are_judged_and_a_script_that_fails_is_an_error(project: CommandLine) -> None:
    (project.folder / "score.py").write_text(
        "import sys, edgeloop_task\nedgeloop_task.report_result(score=float(sys.argv[1]), name='x')\n"
    )
    (project.folder / "crash.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    expect(
        project,
        '[check.good]\nscript = "score.py"\narguments = ["0.5"]\nmin_results = {score = 0.4}\n'
        '[check.bad]\nscript = "score.py"\narguments = ["0.5"]\nmax_results = {score = 0.4}\n'
        '[check.missing]\nscript = "score.py"\narguments = ["0.5"]\nmin_results = {name = 0}\n'
        '[check.crash]\nscript = "crash.py"\nmin_results = {score = 0.4}\n',
    )

    assert check(project, "good", "bad", status=1) == {"good score": "pass", "bad score": "fail"}
    assert check(project, status=2) == {
        "good score": "pass",
        "bad score": "fail",
        "missing name": "error",
        "crash runs": "error",
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "expects nothing"),
        ("[check.a]\n", "names neither a model nor a script"),
        ('[check.a]\nmodel = "model.mnn"\n', "expects nothing"),
        ('[check.a]\nmodel = "model.mnn"\nmin_accuracy = 0.5\n', "names no inputs"),
        ('[check.a]\nmodel = "model.mnn"\nmin_cosine = 0.5\n', "names no reference"),
        ('[check.a]\nmodel = "model.mnn"\nscript = "a.py"\nmax_bytes = 1\n', "both a model and a script"),
        ('[check.a]\nscript = "a.py"\nmax_bytes = 1\n', "what only a model has"),
        ('[check.a]\nmodel = "model.mnn"\nmin_results = {x = 1}\n', "which only a script reports"),
        ('[check.a]\nmodel = "gone.mnn"\nmax_bytes = 1\n', "There is no model gone.mnn"),
        ('[check.a]\nmodel = "model.mnn"\nmax_byte = 1\n', "check.a.max_byte is not a known setting"),
        ('[check.a]\nmodel = "model.mnn"\nmin_accuracy = 2\n', "check.a.min_accuracy"),
    ],
)
def test_expectations_that_make_no_sense_are_refused(project: CommandLine, settings: str, expected: str) -> None:
    expect(project, settings)

    assert expected in refused(project)


def test_a_check_that_does_not_exist_a_missing_device_and_a_broken_file_are_errors(project: CommandLine) -> None:
    expect(project, SPEED)
    assert "There is no check 'sped'" in refused(project, "sped")
    assert "nowhere" in refused(project, "--device", "nowhere")
    (project.folder / BASELINES).write_text("{")
    assert "holds no baselines" in refused(project, *QUICK)


def test_inputs_that_do_not_fit_are_an_error_of_their_check_alone(project: CommandLine) -> None:
    expect(
        project,
        '[check.labels]\nmodel = "model.mnn"\ninputs = "images.npz"\nlabels = "classes"\nmin_accuracy = 0.5\n'
        '[check.size]\nmodel = "model.mnn"\nmax_bytes = 100000\n',
    )

    assert check(project, status=2) == {"labels runs": "error", "size bytes": "pass"}
