"""The train job: a real repository, the real plugins, and a context that only notes what it is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edgeloop import JobContext, TrainingRun, TrainingState, TrainingStatus, load_handler
from edgeloop.handlers import reference_to
from edgeloop.testing import RecordingContext
from edgeloop_daemon.jobs.training import TrainJob, TrainResult, train
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import (
    CancelledByUserError,
    ConflictError,
    InvalidInputError,
    JobFailedError,
    NotFoundError,
    PluginError,
)

GIT = "edgeloop_plugins.git_flow"
SCRIPT = """
import json, os, pathlib
output = pathlib.Path(os.environ["EDGELOOP_OUTPUT"])
for step in range(3):
    print(json.dumps({"step": step, "loss": 1 / (step + 1), "epoch": step + 1, "epochs": 4}))
(output / "models").mkdir()
(output / "models" / "digits.mnn").write_text(pathlib.Path("weights").read_text())
print(os.getcwd(), os.environ["EDGELOOP_RUN_ID"])
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "EMAIL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "weights").write_text("committed")
    load_handler(f"{GIT}.repository:create")(folder)
    (folder / "weights").write_text("uncommitted")
    return folder


@pytest.fixture
def context(workspace: Path, tmp_path: Path) -> RecordingContext:
    return RecordingContext(workspace, tmp_path / "job")


JOB = TrainJob(
    backend="local",
    implementation="edgeloop_plugins.training_local.backend:LocalTraining",
    parameters_type="edgeloop_plugins.training_local.plugin:LocalParameters",
    snapshot=f"{GIT}.snapshots:snapshot",
    checkout=f"{GIT}.worktrees:checkout",
    discard=f"{GIT}.worktrees:discard",
    command=("python", "train.py"),
)


def script(context: RecordingContext, text: str) -> TrainJob:
    (context.workspace / "train.py").write_text(text)
    return JOB


def worktrees(workspace: Path) -> list[str]:
    command = ["git", "worktree", "list", "--porcelain"]
    listing = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=True).stdout
    return [line.removeprefix("worktree ") for line in listing.splitlines() if line.startswith("worktree ")]


def git(workspace: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=workspace, capture_output=True, text=True, check=True).stdout


def test_a_training_brings_metrics_and_artifacts_of_the_uncommitted_state(context: RecordingContext) -> None:
    result = train(decode(TrainJob, encode(JOB)), context)
    assert result == TrainResult(
        commit=git(context.workspace, "rev-parse", "refs/edgeloop/runs/j1").strip(),
        seconds=result.seconds,
        artifacts=("artifacts/j1/models/digits.mnn",),
        metrics={"loss": 1 / 3},
    )
    assert (context.workspace / "artifacts" / "latest" / "models" / "digits.mnn").read_text() == "uncommitted"
    assert [(point.tag, point.step, point.value) for point in context.points] == [
        ("loss", 0, 1.0),
        ("loss", 1, 0.5),
        ("loss", 2, 1 / 3),
    ]
    assert context.fractions == [0.25, 0.5, 0.75]
    assert f"{context.folder / 'tree'} j1" in context.lines
    assert encode(result)["artifacts"] == ["artifacts/j1/models/digits.mnn"]


def test_the_provenance_lies_beside_the_artifacts(context: RecordingContext) -> None:
    result = train(JOB, context)
    record = json.loads((context.workspace / "artifacts" / "j1" / "run.json").read_text())
    assert record.pop("started").endswith("+00:00")
    assert record == {
        "run_id": "j1",
        "commit": result.commit,
        "command": ["python", "train.py"],
        "backend": "local",
        "seconds": result.seconds,
        "metrics": result.metrics,
    }


def test_the_worktree_is_gone_and_the_workspace_untouched_afterwards(context: RecordingContext) -> None:
    before = git(context.workspace, "status", "--porcelain")
    train(JOB, context)
    assert worktrees(context.workspace) == [str(context.workspace)]
    assert not (context.folder / "tree").exists()
    assert git(context.workspace, "status", "--porcelain") == before, "artifacts are ignored"


def test_latest_is_the_newest_and_older_runs_stay(context: RecordingContext) -> None:
    train(JOB, context)
    second = replace(context, job_id="j2", folder=context.folder.with_name("job2"))
    train(JOB, second)
    artifacts = context.workspace / "artifacts"
    assert (artifacts / "latest").readlink() == Path("j2")
    assert sorted(path.name for path in artifacts.iterdir()) == [".gitignore", "j1", "j2", "latest"]


def test_a_failure_tells_the_status_and_the_end_of_the_log(context: RecordingContext) -> None:
    job = script(context, "for i in range(30): print('line', i)\nraise SystemExit(3)\n")
    with pytest.raises(JobFailedError, match="exited with status 3") as caught:
        train(job, context)
    assert caught.value.details == {"native_output": [f"line {i}" for i in range(10, 30)], "exit_code": 3}
    assert worktrees(context.workspace) == [str(context.workspace)]
    assert not (context.workspace / "artifacts").exists()


def test_a_command_that_does_not_exist_leaves_no_worktree(context: RecordingContext) -> None:
    with pytest.raises(InvalidInputError, match="no-such-program"):
        train(replace(JOB, command=("no-such-program",)), context)
    assert worktrees(context.workspace) == [str(context.workspace)]


def test_a_training_that_writes_nothing_is_told_so(context: RecordingContext) -> None:
    result = train(script(context, "print('done')"), context)
    assert result.artifacts == ()
    assert any("$EDGELOOP_OUTPUT" in line for line in context.lines)


def test_artifacts_that_cannot_be_taken_leave_nothing_half_done(context: RecordingContext) -> None:
    train(JOB, context)
    second = replace(context, job_id="j2", folder=context.folder.with_name("job2"))
    bad = "import os; os.chdir(os.environ['EDGELOOP_OUTPUT']); open('good', 'w'); os.symlink('/etc', 'bad')"
    with pytest.raises(InvalidInputError, match="bad is a link"):
        train(script(second, bad), second)
    artifacts = context.workspace / "artifacts"
    assert sorted(path.name for path in artifacts.iterdir()) == [".gitignore", "j1", "latest"]
    assert (artifacts / "latest").readlink() == Path("j1")


def test_an_artifact_cannot_pass_for_the_provenance(context: RecordingContext) -> None:
    with pytest.raises(ConflictError, match=r"run\.json"):
        train(script(context, "import os; open(os.environ['EDGELOOP_OUTPUT'] + '/run.json', 'w')"), context)


def test_a_folder_named_latest_is_left_alone(context: RecordingContext) -> None:
    (context.workspace / "artifacts" / "latest").mkdir(parents=True)
    result = train(JOB, context)
    assert result.artifacts == ("artifacts/j1/models/digits.mnn",)
    assert any("latest is not a link" in line for line in context.lines)


def test_data_sets_reach_the_run(context: RecordingContext, tmp_path: Path) -> None:
    (context.workspace / "data").mkdir()
    (tmp_path / "big set").mkdir()
    job = script(
        context, "import os\nfor name in sorted(os.environ):\n    if 'DATA' in name: print(name, os.environ[name])"
    )
    places = {"train-set": "data", "big": str(tmp_path / "big set"), "far": "s3://bucket/x"}
    train(replace(job, data=places), context)
    assert [line for line in context.lines if line.startswith("EDGELOOP_DATA")] == [
        f"EDGELOOP_DATA_BIG {tmp_path / 'big set'}",
        "EDGELOOP_DATA_FAR s3://bucket/x",
        f"EDGELOOP_DATA_TRAIN_SET {context.workspace / 'data'}",
    ]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"data": {"a": "missing"}}, NotFoundError),
        ({"data": {"a-b": "s3://x", "a_b": "s3://y"}}, InvalidInputError),
        ({"artifacts": "../elsewhere"}, InvalidInputError),
        ({"artifacts": "/tmp"}, InvalidInputError),
        ({"artifacts": "."}, InvalidInputError),
        ({"artifacts": ".git/artifacts"}, InvalidInputError),
        ({"implementation": "edgeloop_plugins.training_local.backend:Missing"}, PluginError),
        ({"parameters": {"unknown": 1}}, InvalidInputError),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    context: RecordingContext, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        train(replace(JOB, **change), context)
    assert git(context.workspace, "for-each-ref", "refs/edgeloop") == ""


@dataclass(frozen=True)
class FakeParameters:
    """A backend's parameters, with an array among them."""

    gpus: tuple[int, ...]


class FakeTraining:
    """A backend that follows its parameters: how the run ends, and whether its log breaks off."""

    def __init__(self, parameters: FakeParameters, context: JobContext) -> None:
        self.ends = {1: TrainingState.SUCCEEDED, 2: TrainingState.STOPPED, 3: TrainingState.FAILED}[parameters.gpus[0]]
        self.breaks = len(parameters.gpus) > 1
        self.context = context

    def submit(self, run: TrainingRun) -> str:
        assert run.folder.joinpath("train.py").is_file()
        return f"fake:{run.run_id}"

    def status(self, reference: str) -> TrainingStatus:
        return TrainingStatus(self.ends)

    def follow_logs(self, reference: str) -> Iterator[str]:
        yield "started"
        if self.breaks:
            raise ConnectionResetError("the log broke off")

    def stop(self, reference: str) -> None:
        self.context.log(f"stopping {reference}")

    def fetch_artifacts(self, reference: str, folder: Path) -> None:
        (folder / "model").write_text(reference)


def fake(*gpus: int) -> TrainJob:
    job = replace(JOB, implementation=reference_to(FakeTraining), parameters_type=reference_to(FakeParameters))
    return decode(TrainJob, encode(replace(job, parameters={"gpus": list(gpus)})))


def test_any_backend_gets_its_own_parameters(context: RecordingContext) -> None:
    assert train(fake(1), context).artifacts == ("artifacts/j1/model",)


def test_a_run_that_somebody_stopped_counts_as_cancelled(context: RecordingContext) -> None:
    with pytest.raises(CancelledByUserError, match="was stopped"):
        train(fake(2), context)


def test_a_backend_that_says_nothing_about_a_failure_still_fails(context: RecordingContext) -> None:
    with pytest.raises(JobFailedError, match="The training failed"):
        train(fake(3), context)


def test_a_run_is_stopped_when_following_it_fails(context: RecordingContext) -> None:
    with pytest.raises(ConnectionResetError):
        train(fake(1, 1), context)
    assert context.lines[-1] == "stopping fake:j1"
    assert worktrees(context.workspace) == [str(context.workspace)]


def test_cancelling_stops_the_run_and_removes_the_worktree(context: RecordingContext, tmp_path: Path) -> None:
    script(context, "import time; print('ready'); time.sleep(1000)")
    program = (
        "import json, signal, sys, types\n"
        "from pathlib import Path\n"
        "from edgeloop_daemon.jobs.training import TrainJob, train\n"
        "from edgeloop_shared.codec import decode\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "nothing = lambda *_: None\n"
        "context = types.SimpleNamespace(job_id='j1', workspace=Path(sys.argv[1]), folder=Path(sys.argv[2]),\n"
        "    progress=nothing, metric=nothing, log=lambda line: print(line, flush=True))\n"
        "train(decode(TrainJob, json.loads(sys.argv[3])), context)\n"
    )
    command = [sys.executable, "-c", program, str(context.workspace), str(context.folder), json.dumps(encode(JOB))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert "ready\n" in iter(job.stdout.readline, "")
        job.send_signal(signal.SIGTERM)
        assert job.wait() == 143
    assert worktrees(context.workspace) == [str(context.workspace)]
    assert not (context.folder / "tree").exists()
    log = context.folder / "training" / "ended.json"
    assert json.loads(log.read_text())["stopped"] is True
