"""A run that waits at an operator on a device: looked at, changed and let go from the command line."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
from end_to_end.command_line import CommandLine
from end_to_end.test_operator_breakpoints import project
from end_to_end.waiting import until

__all__ = ["project"]  # the fixture


def paused(project: CommandLine, *options: str) -> dict[str, Any]:
    """Start a run that waits at a breakpoint; return the run once it does."""
    run = project.json("run", "--detach", "-i", "planted.mnn", *options, "--action", "wait", "infer.py")

    def waiting() -> dict[str, Any] | None:
        found: dict[str, Any] = project.api(f"/runs/{run['id']}")
        assert found["error"] is None, found["error"]
        return found if (found["message"] or "").startswith("paused") else None

    return until(waiting, "the run waits at an operator")


def refused(project: CommandLine, path: str, body: Any) -> str:
    """Return why the API refuses a request."""
    with pytest.raises(HTTPError) as caught:
        project.api(path, body)
    with caught.value:
        return str(json.load(caught.value)["detail"])


def output(project: CommandLine, run: dict[str, Any]) -> str:
    """Return what the script has printed, once it has ended."""
    return project.call("logs", "-f", run["id"]).stdout


def test_a_run_waits_is_looked_at_and_goes_on_with_another_tensor(project: CommandLine) -> None:
    np.save(project.folder / "fine.npy", np.full((2, 3), 0.25, np.float32))
    np.save(project.folder / "odd.npy", np.zeros((3, 3), np.float32))
    run = paused(project, "--break", "op:* when nan_count > 0")
    assert run["message"] == "paused at root"

    (stop,) = project.json("break", "show", run["id"])
    assert (stop["stop"], stop["hit"]["operator"], stop["hit"]["answer"]) == (1, "root", "continue")
    assert (stop["inputs"][0]["min"], stop["outputs"][0]["nan_count"]) == (pytest.approx(-0.8414, abs=1e-3), 1)
    at = f"/runs/{run['id']}/operator-stops/1"
    shown = project.run("break", "show", run["id"])
    assert shown.splitlines()[0] == "stop 1: after root (UnaryOp #1), run 0 of planted.mnn"
    assert [line.split()[0] for line in shown.splitlines()[3:]] == ["in[0]", "out[0]"]
    part = project.api(f"{at}/tensor?slice=1,:")
    assert (part["values"][1], part["summary"]["shape"]) == ("nan", [3])
    assert max(map(len, project.run("break", "show", run["id"], "--tensor", "0").splitlines())) <= 80

    assert "3, 3] cannot replace output 0" in project.fail("break", "replace", run["id"], "odd.npy")["message"]
    for path, body, message in (
        ("/tensor?slice=7", None, "has no part '7'"),
        ("/tensor?tensor=3", None, "has no tensor out[3]"),
        ("/tensor?slice=x", None, "is no index of a tensor"),
        ("/answer", {"answer": "skip"}, "has run already"),
        ("/replacement", {"file": "infer.py"}, "is no `.npy` file"),
        ("/replacement", {"file": "nowhere.npy"}, "There is no file nowhere.npy"),
        ("/replacement", {"file": "../../etc/passwd"}, "outside the workspace"),
        ("/replacement", {}, "either by a file or by one number"),
    ):
        assert message in refused(project, at + path, body)
    project.run("break", "replace", run["id"], "fine.npy")
    (stop,) = project.json("break", "show", run["id"])
    assert (stop["hit"]["tensors"][0]["nan_count"], stop["outputs"][0]["nan_count"]) == (1, 0)  # as it was, as it is
    project.api(f"{at}/answer", {"answer": "dump"})
    project.run("break", "continue", run["id"])

    assert f"nan_count 0 first {-np.cos(0.25):.4f}" in output(project, run)
    ended = project.api(f"/runs/{run['id']}")
    assert [file["name"] for file in ended["files"]] == ["operators/planted.mnn/0-1-root.out0.npy"]
    assert "operators/planted.mnn/0-1-root.out0.npy" in project.run("files", run["id"])
    (saved,) = project.json("files", run["id"], "--output", "dumped")["saved"]
    assert np.load(saved).shape == (2, 3)
    (hit,) = project.json("hits", run["id"])
    assert (hit["answer"], hit["tensors"][0]["nan_count"]) == ("replace", 1)
    assert project.fail("break", "continue", run["id"])["code"] == "not-found"
    kinds = [one["kind"] for one in project.api("/events?kinds=run.paused,run.resumed&limit=1000")["items"][-2:]]
    assert kinds == ["run.paused", "run.resumed"]


def test_an_operator_is_skipped_and_a_run_aborted_while_another_waits(project: CommandLine) -> None:
    first = paused(project, "--break", "op:root before")
    second = paused(project, "--break", "op:root")
    assert {run["id"]: run["message"] for run in project.json("runs", "--limit", "2")} == {
        first["id"]: "paused at root",
        second["id"]: "paused at root",
    }
    assert "nan_count 1" in project.run("run", "-i", "planted.mnn", "infer.py")

    project.run("break", "abort", second["id"])
    assert project.call("logs", "-f", second["id"]).returncode == 0
    error = project.api(f"/runs/{second['id']}")["error"]
    assert "RunAbortedError" in error["message"]
    project.run("break", "replace", first["id"], "--fill", "0.5")
    project.run("break", "skip", first["id"])
    assert f"nan_count 0 first {-np.cos(0.5):.4f}" in output(project, first)


def test_a_run_that_waits_is_cancelled(project: CommandLine) -> None:
    run = paused(project, "--break", "op:root")
    project.run("cancel", run["id"])
    assert project.call("logs", "-f", run["id"]).returncode == 0
    assert project.api(f"/runs/{run['id']}")["state"] == "cancelled"
    assert project.json("break", "show", run["id"]) == []
