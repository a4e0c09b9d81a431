"""Training on this computer: real commands, their logs, ends and artifacts, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeloop import TrainingRun, TrainingState, load_handler
from edgeloop.testing import RecordingContext
from edgeloop_plugins.training_local.backend import LocalTraining
from edgeloop_plugins.training_local.lines import LineSplitter
from edgeloop_plugins.training_local.plugin import LocalParameters, edgeloop_training_backends
from edgeloop_shared import process_lock
from edgeloop_shared.errors import InvalidInputError


@pytest.fixture
def backend(tmp_path: Path) -> LocalTraining:
    return LocalTraining(LocalParameters(), RecordingContext(tmp_path, tmp_path / "job"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def python(code: Path, script: str, **environment: str) -> TrainingRun:
    return TrainingRun("r1", "0" * 40, code, ("python", "-c", script), environment)


def finished(backend: LocalTraining, run: TrainingRun) -> tuple[str, list[str]]:
    reference = backend.submit(run)
    return reference, list(backend.follow_logs(reference))


def test_the_declaration_names_an_implementation_that_can_be_loaded() -> None:
    (declaration,) = edgeloop_training_backends()
    assert load_handler(declaration.implementation) is LocalTraining
    assert declaration.name == "local"


def test_a_run_gets_its_environment_and_its_folder(backend: LocalTraining, code: Path, tmp_path: Path) -> None:
    script = (
        "import os, sys; print(os.getcwd()); print(os.environ['EDGELOOP_RUN_ID']); print(os.environ['EDGELOOP_OUTPUT']);"
        "print(sys.executable)"
    )
    reference, lines = finished(backend, python(code, script, EDGELOOP_RUN_ID="r1"))
    assert lines == [str(code), "r1", f"{reference}/output", sys.executable]
    assert Path(reference).is_relative_to(tmp_path / "job")
    assert backend.status(reference).state == TrainingState.SUCCEEDED


def test_programs_of_edgeloops_environment_and_of_the_project_are_found(backend: LocalTraining, code: Path) -> None:
    (code / "train.sh").write_text("#!/bin/sh\ncommand -v pytest\n")
    (code / "train.sh").chmod(0o755)
    _, lines = finished(backend, TrainingRun("r1", "", code, ("./train.sh",), {}))
    assert lines == [str(Path(sys.executable).parent / "pytest")]


def test_output_and_errors_come_line_by_line_in_their_order(backend: LocalTraining, code: Path) -> None:
    script = (
        "import sys; print('one'); print('two', file=sys.stderr);"
        "sys.stdout.buffer.write(b'3/9\\r4/9\\r\\nbad \\xff\\n\\nno newline')"
    )
    _, lines = finished(backend, python(code, script))
    assert lines == ["one", "two", "3/9", "4/9", "bad �", "", "no newline"]


def test_a_line_is_seen_while_the_run_goes_on(backend: LocalTraining, code: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go on")
    script = f"print('first'); open({str(tmp_path / 'go on')!r}).read(); print('second')"
    reference = backend.submit(python(code, script))
    lines = backend.follow_logs(reference)
    assert next(lines) == "first"
    assert backend.status(reference).state == TrainingState.RUNNING
    (tmp_path / "go on").write_text("")
    assert list(lines) == ["second"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_do_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    data = b"a\r\nb\rc\n\n\r\r\nlast"
    splitter = LineSplitter()
    lines = [line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size])]
    assert [*lines, *splitter.finish()] == ["a", "b", "c", "", "", "", "last"]
    assert list(splitter.finish()) == []


def test_a_huge_line_comes_in_parts(backend: LocalTraining, code: Path) -> None:
    _, lines = finished(backend, python(code, "print('x' * 1_000_000)"))
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) <= 64 * 1024


@pytest.mark.parametrize(
    ("script", "exit_code", "words"),
    [
        ("raise SystemExit(3)", 3, "exited with status 3"),
        ("import os; os.kill(os.getpid(), 11)", -11, "signal 11, SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", -9, "memory may have run out"),
    ],
)
def test_a_failure_is_told_in_words(
    backend: LocalTraining, code: Path, script: str, exit_code: int, words: str
) -> None:
    reference, _ = finished(backend, python(code, script))
    status = backend.status(reference)
    assert (status.state, status.exit_code) == (TrainingState.FAILED, exit_code)
    assert words in status.message


@pytest.mark.parametrize("command", [(), ("no-such-program",), ("./missing.sh",), ("./not-executable",), ("",)])
def test_a_command_that_does_not_exist_is_named(backend: LocalTraining, code: Path, command: tuple[str, ...]) -> None:
    (code / "not-executable").write_text("#!/bin/sh\n")
    with pytest.raises(InvalidInputError, match="no program on this computer"):
        backend.submit(TrainingRun("r1", "", code, command, {}))


def test_a_program_that_cannot_be_executed_is_a_failure_with_its_cause(backend: LocalTraining, code: Path) -> None:
    (code / "train").write_bytes(b"\x00\x01 no format that a computer knows")
    (code / "train").chmod(0o755)
    reference, _ = finished(backend, TrainingRun("r1", "", code, ("./train",), {}))
    status = backend.status(reference)
    assert status.state == TrainingState.FAILED
    assert "could not be started" in status.message


def test_artifacts_are_copied_with_the_links_that_stay_inside(
    backend: LocalTraining, code: Path, tmp_path: Path
) -> None:
    script = (
        "import os; os.chdir(os.environ['EDGELOOP_OUTPUT']); os.mkdir('sub'); open('sub/model', 'w').write('weights');"
        "os.symlink('sub/model', 'best'); os.symlink(os.path.abspath('sub'), 'absolute')"
    )
    reference, _ = finished(backend, python(code, script))
    target = tmp_path / "artifacts"
    target.mkdir()
    backend.fetch_artifacts(reference, target)
    assert (target / "best").read_text() == "weights"
    assert (target / "absolute" / "model").resolve() == target / "sub" / "model"
    assert sorted(path.name for path in target.iterdir()) == ["absolute", "best", "sub"]


@pytest.mark.parametrize(
    "call", ["symlink('/etc/passwd', 'bad')", "symlink('../..', 'bad')", "symlink('bad', 'bad')", "mkfifo('bad')"]
)
def test_artifacts_that_lead_elsewhere_are_refused(
    backend: LocalTraining, code: Path, tmp_path: Path, call: str
) -> None:
    reference, _ = finished(backend, python(code, f"import os; os.chdir(os.environ['EDGELOOP_OUTPUT']); os.{call}"))
    target = tmp_path / "artifacts"
    target.mkdir()
    with pytest.raises(InvalidInputError, match="The artifact bad "):
        backend.fetch_artifacts(reference, target)


def test_a_later_process_can_look_at_a_run_by_its_reference(backend: LocalTraining, code: Path, tmp_path: Path) -> None:
    reference, _ = finished(backend, python(code, "print('done')"))
    later = LocalTraining(LocalParameters(), RecordingContext(tmp_path, tmp_path / "another job"))
    assert list(later.follow_logs(reference)) == ["done"]
    assert later.status(reference).state == TrainingState.SUCCEEDED


FAMILY = (
    "import os, subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', \"import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); "
    "time.sleep(1000)\"], stderr=open(sys.argv[1], 'w'))\n"
)


def lifetime(path: Path) -> int:
    """Return the reading end of a pipe that ends when the grandchild, which ignores SIGTERM, has ended."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def ended(reader: int) -> bool:
    os.set_blocking(reader, True)
    data = os.read(reader, 1)
    os.close(reader)
    return data == b""


def family(code: Path, tmp_path: Path, then: str) -> TrainingRun:
    return TrainingRun("r1", "", code, ("python", "-c", FAMILY + then, str(tmp_path / "lifetime")), {})


@pytest.mark.parametrize("same_process", [True, False])
def test_stopping_reaches_all_that_the_run_started(
    backend: LocalTraining, code: Path, tmp_path: Path, same_process: bool
) -> None:
    reader = lifetime(tmp_path / "lifetime")
    reference = backend.submit(family(code, tmp_path, "time.sleep(1000)"))
    assert next(backend.follow_logs(reference)) == "ready"
    stopper = (
        backend
        if same_process
        else LocalTraining(LocalParameters(), RecordingContext(tmp_path, tmp_path / "another job"))
    )
    stopper.stop(reference)
    assert ended(reader)
    assert backend.status(reference).state == TrainingState.STOPPED
    backend.stop(reference)
    assert backend.status(reference).state == TrainingState.STOPPED


def test_a_run_that_ignores_the_request_is_killed(backend: LocalTraining, code: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(1000)"
    reference = backend.submit(python(code, script))
    assert next(backend.follow_logs(reference)) == "ready"
    backend.stop(reference)
    assert backend.status(reference).exit_code == -signal.SIGKILL


def test_what_a_run_leaves_behind_ends_with_it(backend: LocalTraining, code: Path, tmp_path: Path) -> None:
    reader = lifetime(tmp_path / "lifetime")
    reference = backend.submit(family(code, tmp_path, "print('bye')"))
    list(backend.follow_logs(reference))
    assert ended(reader)
    assert backend.status(reference).state == TrainingState.SUCCEEDED


def test_a_killed_guardian_ends_the_run(backend: LocalTraining, code: Path, tmp_path: Path) -> None:
    reader = lifetime(tmp_path / "lifetime")
    reference = backend.submit(family(code, tmp_path, "time.sleep(1000)"))
    lines = backend.follow_logs(reference)
    assert next(lines) == "ready"
    process_lock.signal_holder(Path(reference) / "lock", signal.SIGKILL)
    assert list(lines) == []
    status = backend.status(reference)
    assert (status.state, "was lost" in status.message) == (TrainingState.FAILED, True)
    assert ended(reader)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_job_is_killed(code: Path, tmp_path: Path, number: signal.Signals) -> None:
    reader = lifetime(tmp_path / "lifetime")
    script = (
        "import sys, types; from pathlib import Path\n"
        "from edgeloop import TrainingRun\n"
        "from edgeloop_plugins.training_local.backend import LocalTraining\n"
        "folder = Path(sys.argv[1])\n"
        "backend = LocalTraining(None, types.SimpleNamespace(folder=folder / 'job'))\n"
        "reference = backend.submit(TrainingRun('r1', '', folder, ('python', '-c', sys.argv[2], sys.argv[3]), {}))\n"
        "for line in backend.follow_logs(reference): print(line, flush=True)\n"
    )
    arguments = [str(tmp_path), FAMILY + "time.sleep(1000)", str(tmp_path / "lifetime")]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        begun = time.monotonic()
        job.send_signal(number)
        assert job.wait() == -number
    assert ended(reader)
    assert time.monotonic() - begun < 10
