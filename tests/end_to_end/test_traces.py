"""Traces from a script on a device to what a user sees: summaries, comparisons with an exit status, watching, exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

SCRIPT = """
import sys
import edgeloop_task
import numpy as np

rows, runs = int(sys.argv[1]), int(sys.argv[2])
model = edgeloop_task.load_model("planted.mnn")
for number in range(runs):
    with edgeloop_task.span("frame", number=number):
        with edgeloop_task.span("pre"):
            x = np.full((rows, 3), 0.5, np.float32)
        model(x)
"""
OPERATORS = ("wave", "root", "again", "y")


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any], planted: Path) -> CommandLine:
    """A workspace with a model of four operators, and a device linked."""
    shutil.copy(planted, workspace.folder)
    (workspace.folder / "frames.py").write_text(SCRIPT)
    return workspace


@pytest.fixture(scope="module")
def quick(project: CommandLine) -> str:
    """A traced run of small inputs."""
    shown = project.json("trace", "-i", "planted.mnn", "frames.py", "2", "60")
    return str(shown["run"]["id"])


def test_a_script_is_run_traced_and_its_trace_shown_on_eighty_columns(project: CommandLine, quick: str) -> None:
    done = project.call("trace", "-i", "planted.mnn", "frames.py", "2", "60")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(lines)
    assert "240 operator runs" in " ".join(text.split())
    assert "Clock: this computer's, ±" in text
    assert "round trips" in text
    assert any(line.split()[:2] == ["frame", "60"] for line in lines)
    assert any(line.startswith("  run planted.mnn") for line in lines)
    assert {line.split()[0] for line in lines if line} >= {*OPERATORS, "session", "load"}


def test_a_script_that_is_debugged_meanwhile_shows_its_trace_at_the_end_as_well(project: CommandLine) -> None:
    options = ("trace", "--debug", "-i", "planted.mnn", "frames.py", "2", "5")
    done = project.call(*options)
    assert done.returncode == 0, done.stderr
    assert "20 operator runs" in " ".join(done.stdout.split())
    shown = project.json(*options)
    assert (shown["run"]["state"], shown["session"]["state"], shown["summary"]["events"]) == ("succeeded", "ended", 20)


def test_a_trace_is_listed_and_shown_again(project: CommandLine, quick: str) -> None:
    [listed] = [one for one in project.json("trace", "list") if one["run"] == quick]
    assert listed in project.json("traces")
    assert listed["events"] == 60 * len(OPERATORS)
    shown = project.json("trace", "show", quick, "--by", "type", "--top", "1")
    assert [item["type"] for item in shown["operators"]] == ["UnaryOp"]
    summary = shown["summary"]
    assert (summary["gaps"], summary["lost_spans"], summary["unreadable_batches"]) == ([], 0, 0)
    assert summary["clock"]["is_aligned"]
    assert 0 < summary["clock"]["error_ns"] < 10**9
    frames = [row for row in shown["spans"] if row["name"] == "frame"]
    assert [(row["depth"], row["calls"]) for row in frames] == [(0, 60)]
    [session] = summary["sessions"]
    assert (session["model"], session["runs"], session["threads"], session["precision"]) == (
        "planted.mnn",
        60,
        1,
        "normal",
    )


def test_an_operator_that_became_slower_ends_with_a_status_for_ci(project: CommandLine, quick: str) -> None:
    slow = project.json("trace", "-i", "planted.mnn", "frames.py", "200000", "12")["run"]["id"]
    compared = project.call("trace", "compare", quick, slow, "--max-slowdown", "50")
    assert compared.returncode == 1
    assert max(map(len, compared.stdout.splitlines())) <= 80
    assert "slower" in compared.stdout
    found = json.loads(project.call("trace", "compare", "--json", quick, slow).stdout)
    [session] = found["sessions"]
    assert {row["name"] for row in session["operators"]} == set(OPERATORS)
    assert not session["whole"]["is_noise"]
    assert session["whole"]["difference_ms"] > 0
    same = project.call("trace", "compare", quick, quick, "--max-slowdown", "0")
    assert (same.returncode, "slower" in same.stdout) == (0, False)


def test_a_trace_is_watched_until_its_script_ends(project: CommandLine) -> None:
    run = project.json("run", "--trace", "--detach", "-i", "planted.mnn", "frames.py", "2", "300")["id"]
    watched = project.call("trace", "watch", "--json", run)
    pages = [json.loads(line) for line in watched.stdout.splitlines()]
    assert (pages[-1]["summary"]["state"], pages[-1]["summary"]["events"]) == ("succeeded", 300 * len(OPERATORS))
    assert {item["name"] for item in pages[-1]["operators"]} == set(OPERATORS)


def test_the_export_has_the_computers_and_the_devices_events_on_one_timeline(project: CommandLine, quick: str) -> None:
    exported = project.json("trace", "export", quick)
    whole = json.loads(Path(exported["path"]).read_text())
    assert int(whole["otherData"]["clock_error_ns"]) > 0
    events = whole["traceEvents"]
    assert sum("mflops" in event.get("args", ()) for event in events) == 60 * len(OPERATORS)
    queued = next(event["ts"] for event in events if event["name"] == "run.queued")
    ended = next(event["ts"] for event in events if event["name"] == "run.succeeded")
    frames = [event["ts"] for event in events if event["name"] == "frame"]
    slack = int(whole["otherData"]["clock_error_ns"]) / 1000
    assert len(frames) == 60
    assert all(queued - slack <= at <= ended + slack for at in frames)
    assert {event["ph"] for event in events} == {"M", "X", "C", "i", "s", "f"}


def test_a_run_that_was_not_traced_says_what_to_do(project: CommandLine) -> None:
    run = project.json("run", "-i", "planted.mnn", "frames.py", "2", "1")["id"]
    for command in (("show", run), ("export", run), ("watch", run), ("compare", run, run)):
        done = project.call("trace", *command)
        assert done.returncode == 1
        assert "edgeloop trace SCRIPT" in " ".join(done.stderr.split())
