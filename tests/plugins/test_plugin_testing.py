"""What a plugin's own tests are given: a context that records, and handlers called as edgeloop calls them."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeloop import JobContext, MetricPoint, ModelPath, ModelTool, WorkspaceOperation
from edgeloop.testing import RecordingContext, call_handler
from edgeloop_shared.errors import InvalidInputError, JobFailedError, ModelError, PluginError, TaskFailedError


class Mode(enum.Enum):
    FAST = "fast"
    GOOD = "good"


@dataclass(frozen=True)
class Shrink:
    model: ModelPath
    bits: int = field(default=8, metadata={"ge": 2, "le": 8})
    mode: Mode = Mode.GOOD


@dataclass(frozen=True)
class Shrunk:
    output: str
    sizes: tuple[int, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def shrink(parameters: Shrink, context: JobContext) -> Shrunk:
    if not Path(parameters.model).exists():
        raise ModelError(f"{parameters.model} does not exist.")
    context.progress(0.5, parameters.mode.value)
    return Shrunk(parameters.model, (parameters.bits,))


def answer(what: Any) -> Any:
    return lambda parameters, context: what


wrong_type = answer({"output": "x"})
wrong_field = answer(Shrunk("x", sizes=("many",)))  # type: ignore[arg-type]
no_number = answer(Shrunk("x", sizes=(math.nan,)))  # type: ignore[arg-type]
no_json = answer(Shrunk("x", notes={"a": object()}))  # type: ignore[dict-item]
huge = answer(Shrunk("x" * 5_000_000))


def where(parameters: Shrink, workspace: Path) -> Shrunk:
    return Shrunk(str(workspace))


def tool(handler: str) -> ModelTool:
    return ModelTool("shrink", "Make a model smaller.", Shrink, Shrunk, f"{__name__}:{handler}")


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    (tmp_path / "a.mnn").touch()
    return RecordingContext(tmp_path)


def test_a_handler_gets_checked_parameters_with_the_workspaces_paths(context: RecordingContext) -> None:
    result = call_handler(tool("shrink"), context, model="a.mnn", bits=4, mode="fast")

    assert result == Shrunk(str(context.workspace / "a.mnn"), (4,))
    assert context.reports == [(0.5, "fast")]
    assert context.fractions == [0.5]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "model: is missing"),
        ({"model": "a", "bits": 1}, "bits: must be at least 2"),
        ({"model": ""}, "name a file"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    context: RecordingContext, parameters: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        call_handler(tool("shrink"), context, **parameters)


def test_what_a_handler_raises_passes(context: RecordingContext) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        call_handler(tool("shrink"), context, model="nowhere.mnn")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("wrong_type", "returned a value of the type dict instead of Shrunk."),
        ("wrong_field", r"does not fit Shrunk: sizes\[0\]: must be an integer"),
        ("no_number", "has no JSON form: Out of range float values"),
        ("no_json", "has no JSON form: object has no JSON form"),
        ("huge", "more than the limit of 4194304"),
        ("nobody", "holds no nobody"),
    ],
)
def test_a_result_that_is_not_the_declared_one_is_told(context: RecordingContext, handler: str, words: str) -> None:
    with pytest.raises((PluginError, InvalidInputError), match=words):
        call_handler(tool(handler), context, model="a.mnn")


def test_a_query_is_given_the_workspace(context: RecordingContext) -> None:
    query = WorkspaceOperation("notes", "where", "Say where.", Shrink, Shrunk, f"{__name__}:where", runs="query")

    assert call_handler(query, context, model="a.mnn") == Shrunk(str(context.workspace))


def test_metrics_are_recorded_as_in_a_job(context: RecordingContext) -> None:
    context.metric("loss", 1, 0.5)
    context.metric("loss", 2, math.nan)

    assert context.points == [MetricPoint("loss", 1, 0.5)]
    assert context.lines == ["loss at step 2 is nan"]
    with pytest.raises(InvalidInputError, match="steps count from 0"):
        context.metric("loss", -1, 0.5)


def test_a_progress_beyond_the_end_is_a_mistake(context: RecordingContext) -> None:
    with pytest.raises(AssertionError, match="A progress of 50 is not in"):
        context.progress(50)


def test_subprocesses_really_run(context: RecordingContext) -> None:
    seen: list[str] = []
    code = "import os; print(os.getcwd(), os.environ['WORD'], sep='\\n'); os.abort()"
    status = context.run([sys.executable, "-c", code], environment={"WORD": "hello"}, on_line=seen.append)

    assert status == -6
    assert seen == context.lines == [str(context.workspace), "hello"]
    with pytest.raises(JobFailedError, match="'no-such-command' cannot be started"):
        context.run(["no-such-command"])


def test_a_script_for_a_device_runs_here_with_nothing_but_its_files(context: RecordingContext) -> None:
    script = context.folder / "probe.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport edgeloop_task\n"
        "print('reads', Path(sys.argv[1]).read_text())\n"
        "edgeloop_task.report_result(seen=sorted(path.name for path in Path().rglob('*') if path.is_file()))\n"
        "Path('out.txt').write_text('made')\nedgeloop_task.report_file('out.txt', 'plots/out.txt')\n"
    )
    (context.workspace / "data").mkdir()
    data = context.workspace / "data" / "a.txt"
    data.write_text("hello")
    (context.workspace / "other.txt").write_text("stays")

    run = context.run_on_device(script, (context.device_path(data),), files=(data,), device="phone")

    assert run.result == {"seen": ["a.txt", "probe.py"]}
    assert run.files["plots/out.txt"].read_text() == "made"
    assert (run.received_bytes, context.devices) == (4, ["phone"])
    assert "reads hello" in context.lines


def test_a_script_for_a_device_that_fails_and_a_file_that_cannot_travel_raise(context: RecordingContext) -> None:
    script = context.folder / "probe.py"
    script.write_text("raise SystemExit('no')\n")
    with pytest.raises(TaskFailedError, match="exit status 1"):
        context.run_on_device(script)
    with pytest.raises(InvalidInputError, match="neither in the workspace nor in the job's folder"):
        context.device_path(context.workspace.parent / "elsewhere")
