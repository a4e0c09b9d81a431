"""What the command line prints, and the commands that it builds from plugins' declarations."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edgeloop_daemon.cli import output
from edgeloop_daemon.cli.bench_table import print_bench
from edgeloop_daemon.cli.declarations import Declarations
from edgeloop_daemon.cli.declared_commands import declared_commands, print_result
from edgeloop_daemon.cli.device_condition import condition
from edgeloop_daemon.cli.event_commands import event_line
from edgeloop_daemon.cli.following import raise_error_of
from edgeloop_daemon.cli.run_commands import state_words
from edgeloop_daemon.cli.session import Session
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__
from edgeloop_shared.benchmarks import BenchResult, Throttling
from edgeloop_shared.codec import encode
from edgeloop_shared.device_states import DeviceState, Vitals
from edgeloop_shared.errors import CancelledByUserError


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_496_984, "1.5 MB"),
        (2_500_000_000, "2.5 GB"),
        (9 * 10**12, "9000.0 GB"),
    ],
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert output.size(count) == text


def test_a_moment_of_today_is_a_time_of_day() -> None:
    assert len(output.when(time.time())) == len("12:34:56")
    assert output.when(0).startswith(("1970", "1969"))
    assert output.when(None) == "-"


def test_what_a_device_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name",), [("\x1b[2Jphone\r\u202e",)])
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert "\r" not in printed
    assert "phone" in printed


def test_a_devices_condition_names_first_what_keeps_it_from_working_well() -> None:
    vitals = Vitals(79, True, 31.4, None, "severe", 120 * 10**6)
    words = "in background, storage low: 120.0 MB, throttles: severe, battery 79% and charging, 31 °C"
    assert condition(encode(DeviceState("background", vitals))) == words
    assert condition(encode(DeviceState("foreground", Vitals(throttling="none", free_bytes=10**10)))) == ""
    assert condition(None) == ""


def test_a_benchmark_says_beside_its_verdict_how_the_device_says_that_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = {"name": "pocket", "platform": "android", "cores": 8, "mnn_version": "3.6.1"}
    result = BenchResult("random numbers", (), Throttling("none", "No throttling.", None, ()))
    print_bench(result, device, "r1", "throttles: severe, battery 20%, 44 °C")
    hot = capsys.readouterr().out.splitlines()
    assert hot[hot.index("No throttling.") + 1] == (
        "How the device says that it is: throttles: severe, battery 20%, 44 °C."
    )
    print_bench(result, device, "r1")
    assert "How the device" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("run.waiting", {"run": "r1", "before": 2, "running": None}, "r1 before 2"),
        ("run.transfer", {"run": "r1", "received": 2000, "total": 5000}, "r1 received 2.0 kB total 5.0 kB"),
        ("run.progress", {"run": "r1", "done": 2000.0, "total": 5000.0, "text": ""}, "r1 done 2000 total 5000"),
        ("device.state", {"device": "d1", "celsius": 31.5, "is_storage_low": True}, "d1 celsius 31.5 storage low"),
        ("device.revoked", {"device": "d1", "by_device": False}, "d1"),
        ("job.progress", {"job": "j1", "fraction": 0.25}, "j1 25%"),
    ],
)
def test_the_numbers_of_an_event_say_what_they_count(kind: str, data: dict[str, Any], words: str) -> None:
    line = event_line({"cursor": 7, "time": 0.0, "kind": kind, "data": data})
    assert line.partition(kind)[2].strip() == words


@pytest.mark.parametrize(
    ("changed", "is_linked", "words"),
    [
        ({}, True, "running"),
        ({}, False, "running, device away"),
        ({"ended_at": 5.0, "state": "failed"}, False, "failed"),
        ({"progress": {"done": 3.0, "total": 10.0}}, True, "running, 30%"),
        ({"message": "waits at op:conv1 (before it)"}, True, "waits at op:conv1 (before it)"),
        (
            {"queue": {"before": 2}, "message": "waiting behind 2 others (1 of another computer)"},
            True,
            "waiting behind 2 others",
        ),
    ],
)
def test_the_list_of_runs_says_what_a_run_waits_for_and_whether_its_device_is_away(
    changed: dict[str, Any], is_linked: bool, words: str
) -> None:
    run = {"state": "running", "ended_at": None, "queue": None, "message": None, "progress": None, **changed}
    assert state_words(run, {"is_linked": is_linked}) == words


def test_the_list_of_runs_says_where_a_debugger_holds_one() -> None:
    run = {"state": "running", "ended_at": None, "queue": None, "message": None, "progress": None}
    pause = {"file": "task.py", "line": 4, "function": "train"}
    assert state_words(run, {"is_linked": True}, pause) == "paused at task.py:4"
    assert state_words(run, {"is_linked": True}, {**pause, "file": None, "line": None}) == "paused in train"
    assert state_words({**run, "state": "succeeded", "ended_at": 5.0}, {"is_linked": True}, pause) == "succeeded"


def test_a_table_aligns_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name", "size"), [("a", "1"), ("longer", "100")], right=("size",))
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert lines == ["name    size", "a          1", "longer   100"]


def test_a_table_that_is_too_wide_leaves_out_what_no_row_has(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"a column of quite some length {number}" for number in range(3)]
    rows = [{names[0]: number, names[1]: "some", names[2]: ""} for number in range(2)]

    print_result({"operators": rows})

    header, *lines = click.unstyle(capsys.readouterr().out).strip().splitlines()[1:]
    assert (header.split("  "), len(lines)) == (names[:2], 2)
    assert len(header) <= 80


def test_a_result_is_printed_as_lines_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"output_bytes": 1500, "ratio": 0.25, "left_out": [{"name": "conv", "weights": 3}], "notes": []}
    print_result(result)
    printed = click.unstyle(capsys.readouterr().out)
    assert "output bytes  1.5 kB" in printed
    assert "conv" in printed


PARAMETERS = [
    {"name": "model", "kind": "model-path", "description": "the model", "required": True},
    {
        "name": "bits",
        "kind": "integer",
        "description": "how many",
        "required": False,
        "constraints": {"ge": 2, "le": 8},
    },
    {
        "name": "mode",
        "kind": "choice",
        "description": "which",
        "required": False,
        "choices": ["a", "b"],
        "default": "a",
    },
    {"name": "fast", "kind": "flag", "description": "quickly", "required": False, "default": False},
]


class Recorder:
    """Stands in for the daemon's client."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        self.posted.append((path, body))
        return {"id": "w1", "path": "/w"}

    def start(self, path: str, body: Any) -> dict[str, Any]:
        self.posted.append((path, body))
        return {"answer": 42}


class RecordedSession(Session):
    """A session whose daemon records what it is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Folders(folder), folder)
        self.recorder = Recorder()

    def daemon(self) -> Any:
        """Return the recorder."""
        return self.recorder


@pytest.fixture
def session(tmp_path: Path) -> RecordedSession:
    defaults: dict[str, Any] = {"default": None, "choices": [], "many": False, "constraints": {}}
    tool = {"name": "polish", "summary": "Polish a model.", "parameters": [defaults | item for item in PARAMETERS]}
    record = {"version": __version__, "prefix": sys.prefix, "tools": [tool], "operations": []}
    (tmp_path / "declarations.json").write_text(json.dumps(record))
    (tmp_path / "edgeloop.toml").write_text('name = "x"\n')
    return RecordedSession(tmp_path)


def invoke(session: RecordedSession, *arguments: str) -> Any:
    command = declared_commands(Declarations(session.folders))["polish"]
    return CliRunner().invoke(command, list(arguments), obj=session, catch_exceptions=False)


def test_a_declared_tool_is_a_command_with_its_parameters(session: RecordedSession) -> None:
    result = invoke(session, "m.mnn", "--bits", "4", "--fast", "--json")
    assert json.loads(result.stdout) == {"answer": 42}
    expected = {"model": str(session.folder / "m.mnn"), "bits": 4, "fast": True}
    assert session.recorder.posted[-1] == ("/workspaces/w1/tools/polish", expected)


def test_a_value_out_of_bounds_is_refused_before_anything_is_asked(session: RecordedSession) -> None:
    result = invoke(session, "m.mnn", "--bits", "9")
    assert result.exit_code == 2
    assert "2<=x<=8" in result.output
    assert invoke(session, "m.mnn", "--mode", "c").exit_code == 2
    assert session.recorder.posted == []


def test_its_help_shows_every_parameter(session: RecordedSession) -> None:
    text = invoke(session, "--help").output
    for part in ("Polish a model.", "MODEL", "the model", "--bits", "how many", "--mode", "[a|b]", "--fast", "--json"):
        assert part in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "r1 was cancelled."),
        (CancelledByUserError("The run was stopped on the device, by its user.").as_dict(), "stopped on the device"),
    ],
)
def test_who_ended_a_run_is_said(error: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(CancelledByUserError, match=words):
        raise_error_of({"id": "r1", "state": "cancelled", "error": error}, log_was_shown=True)
