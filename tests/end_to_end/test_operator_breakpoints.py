"""Breakpoints on operators of a model that runs on a device: what the command line and the API show of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

LINE = "op:* when nan_count > 0: root (UnaryOp #1), run 0: out[0] float32 [2, 3], 1 NaN, min "
SCRIPT = """
import edgeloop_task
import numpy as np

model = edgeloop_task.load_model("planted.mnn")
print("begun", flush=True)
result = model(np.array([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]]))
print("nan_count", int(np.isnan(result).sum()), "first", round(float(result[0, 0]), 4))
"""


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any], planted: Path) -> CommandLine:
    """A workspace with a model that makes a NaN in its operator `root`, and a device linked."""
    shutil.copy(planted, workspace.folder)
    (workspace.folder / "infer.py").write_text(SCRIPT)
    (workspace.folder / "watching.py").write_text(
        f"import edgeloop_task\nwith edgeloop_task.watch('nan_count > 0'):\n    exec('''{SCRIPT}''')\n"
    )
    return workspace


def newest_run(project: CommandLine) -> str:
    return str(project.json("runs", "--limit", "1")[0]["id"])


def test_a_hit_is_shown_among_the_output_and_listed_afterwards(project: CommandLine) -> None:
    done = project.call("run", "-i", "planted.mnn", "watching.py")
    run = newest_run(project)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "begun"
    assert [line for line in done.stderr.splitlines() if line.startswith(LINE)] != []
    (hit,) = project.json("hits", run)
    assert (hit["number"], hit["operator"], hit["operator_type"], hit["phase"]) == (1, "root", "UnaryOp", "after")
    assert (hit["tensors"][0]["nan_count"], hit["tensors"][0]["first"][4]) == (1, "nan")
    title, columns, row = project.run("hits", run).splitlines()
    assert title == "op:* when nan_count > 0, after the operator"
    assert columns.split() == ["run", "operator", "type", "tensor", "NaN", "inf", "min", "max", "mean"]
    assert row.split()[:6] == ["0", "root", "UnaryOp", "out0", "2x3", "1"]
    event = project.api("/events?kinds=run.operator-hit&limit=1000")["items"][-1]
    assert event["data"] == {"run": run, "hits": 1, "operator": "root", "breakpoint": "op:* when nan_count > 0"}


def test_a_breakpoint_for_one_run_needs_no_change_of_its_script(project: CommandLine) -> None:
    done = project.call("run", "-i", "planted.mnn", "--break", "op:* when nan_count > 0", "infer.py")
    (hit, *_) = project.json("hits", newest_run(project))

    assert done.returncode == 0, done.stderr
    assert LINE in done.stderr
    assert (hit["operator"], hit["breakpoint"]) == ("root", "op:* when nan_count > 0")


def test_a_kept_breakpoint_goes_with_every_run_and_says_what_it_matches(project: CommandLine) -> None:
    added = project.json("break", "add", "op:ro*", "--when", "min < 0", "--action", "skip", "--hit", "1")
    missing = project.json("break", "add", "op:nowhere")
    try:
        skipped = project.run("run", "-i", "planted.mnn", "infer.py")
        (hit,) = project.json("hits", newest_run(project))
        listed = project.json("break", "list")[0]
        table = project.run("break", "list")
        without = project.run("run", "-i", "planted.mnn", "--no-breaks", "infer.py")
        assert project.run("hits") == "No breakpoint on an operator has hit in this run.\n"
    finally:
        project.run("break", "remove", added["id"], missing["id"])

    assert " no operator of planted.mnn" in table
    assert max(map(len, table.splitlines())) <= 80
    assert "nan_count 0" in skipped
    assert (hit["operator"], hit["phase"], hit["answer"]) == ("root", "before", "skip")
    assert listed["verification"]["message"] == "1 operator of planted.mnn: root"
    assert "nan_count 1" in without


def test_references_of_the_workspace_travel_with_a_breakpoint(project: CommandLine) -> None:
    here = "import edgeloop_task, numpy as np\nwith edgeloop_task.record('reference', on='wa*'):\n"
    here += "    edgeloop_task.load_model('planted.mnn')(np.ones((2, 3)))\n"
    subprocess.run([sys.executable, "-c", here], cwd=project.folder, check=True)
    condition = ("--when", "max_abs_difference_to_reference > 0.1", "--reference", "reference")
    added = project.json("break", "add", "op:*", *condition)
    try:
        project.run("run", "-i", "planted.mnn", "infer.py")
    finally:
        project.run("break", "remove", added["id"])

    assert [hit["operator"] for hit in project.json("hits", newest_run(project))] == ["wave"]
    assert "nowhere" in project.fail("break", "add", "op:a", *condition[:3], "nowhere")["message"]


def test_a_mistake_in_a_breakpoint_is_told_where_it_is_made(project: CommandLine) -> None:
    error = project.fail("break", "add", "op:*", "--when", "nan_count > > 0")
    assert "at character 13, `> 0`" in error["message"]
    assert error["details"]["fields"][0]["field"] == "condition"
    assert project.json("break", "list") == []


def test_breakpoints_are_added_and_removed_while_a_run_is_at_work(project: CommandLine) -> None:
    loop = "import itertools\nimport time\n\nfor count in itertools.count():\n    model(np.ones((2, 3)))\n    time.sleep(0.01)\n"
    (project.folder / "loop.py").write_text(SCRIPT.partition("result")[0] + loop)
    run = project.json("run", "--detach", "-i", "planted.mnn", "loop.py")["id"]
    project.wait_for_run("running")

    seen = project.json("break", "add", "op:wave")
    first = project.api(f"/runs/{run}/operator-hits?wait=30")["items"][0]
    project.json("break", "remove", seen["id"])
    project.json("break", "add", "op:root", "--hit", "3", "--action", "abort")
    try:
        done = project.call("logs", "-f", run)
    finally:
        project.run("break", "remove", "op:root")

    assert (first["operator"], first["breakpoint"]) == ("wave", "op:wave")
    assert done.returncode == 0
    found = project.api(f"/runs/{run}")
    assert "RunAbortedError" in found["error"]["message"]
    last = project.api(f"/runs/{run}/operator-hits?limit=1000")["items"][-1]
    assert (last["operator"], last["answer"], last["hit"]) == ("root", "abort", 1)
