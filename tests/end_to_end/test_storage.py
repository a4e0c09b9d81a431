"""`edgeloop storage` and `edgeloop prune`: what a training leaves, and what of it goes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from end_to_end.command_line import CommandLine

TRAIN = "import os, pathlib\npathlib.Path(os.environ['EDGELOOP_OUTPUT'], 'weights.bin').write_bytes(b'w' * 100)\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    line.run("up", "--device-host", "127.0.0.1")
    line.run("init", "project", "--template", "empty")
    project = line.within(line.folder / "project")
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / "edgeloop.toml").write_text('name = "p"\n[train]\ncommand = "python train.py"\n')
    yield project
    line.run("down", "--stop-jobs")


def snapshots(project: CommandLine) -> list[str]:
    command = ["git", "for-each-ref", "--format=%(refname)", "refs/edgeloop/runs"]
    listed = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_an_old_training_goes_with_its_snapshot_and_its_artifacts_stay(project: CommandLine) -> None:
    job = project.json("train")["id"]
    assert snapshots(project) == [f"refs/edgeloop/runs/{job}"]
    assert project.json("prune")["items"] == []  # it is new

    report = project.json("storage", "--keep-newest", "0", "--max-gigabytes", "0.000001")
    traces = {"max_trace_days": 14, "max_trace_gigabytes": 5}
    assert report["policy"] == {"max_age_days": 30, "max_gigabytes": 0.000001, "keep_newest": 0, **traces}
    assert report["prunable_bytes"] > 0
    planned = project.json("prune", "--dry-run")
    assert [(item["id"], item["reason"]) for item in planned["items"]] == [(job, "size")]
    assert [item["id"] for item in project.json("jobs")] == [job]

    assert project.json("prune")["items"] == planned["items"]
    assert project.json("jobs") == []
    assert snapshots(project) == []
    assert not (project.home / "jobs" / job).exists()
    assert (project.folder / "artifacts" / job / "weights.bin").stat().st_size == 100
    assert "storage.pruned" in project.run("events", "--json")


def test_what_a_person_sees_fits_a_terminal(project: CommandLine) -> None:
    for text in (project.run("storage"), project.run("prune", "--dry-run")):
        assert max(map(len, text.splitlines())) <= 80
    assert "jobs" in project.run("storage")


def test_a_policy_that_makes_no_sense_is_refused(project: CommandLine) -> None:
    refused = project.call("storage", "--max-age-days", "0")
    assert refused.returncode == 2
    assert "max-age-days" in refused.stderr
