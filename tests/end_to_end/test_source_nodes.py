"""Whoever names an operator of a converted model names its node in the ONNX model, and may be given that name."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until
from onnx import TensorProto, helper

INFER = """
import sys
import edgeloop_task
import numpy as np
model = edgeloop_task.load_model(sys.argv[1])
for _ in range(3):
    model(np.array([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]]))
"""


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any]) -> CommandLine:
    """A workspace with a converted model, whose file of the ONNX model is gone, and a device linked."""
    steps = ("Sin", "wave"), ("Abs", "size"), ("Neg", "y")
    names = ["x", *(name for _, name in steps)]
    nodes = [
        helper.make_node(kind, [before], [name], name=f"/head/{kind}_{number}")
        for number, (before, (kind, name)) in enumerate(zip(names[:-1], steps, strict=True))
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "head", ends[:1], ends[1:])
    source = workspace.folder / "models" / "head.onnx"
    source.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(source))
    workspace.run("trust", "--yes")
    workspace.run("convert", "models/head.onnx")
    source.unlink()
    (workspace.folder / "infer.py").write_text(INFER)
    return workspace


def test_a_breakpoint_by_the_nodes_name_hits_and_names_it(project: CommandLine) -> None:
    done = project.call("run", "--break", "op:/head/Abs_*", "infer.py", "models/head.mnn")
    assert "size (UnaryOp #1, node /head/Abs_1 (Abs)), run 0" in done.stdout + done.stderr
    assert {(hit["operator"], hit["source"]) for hit in project.json("hits")} == {("size", "/head/Abs_1 (Abs)")}
    assert "In the source model size is /head/Abs_1 (Abs)." in project.run("hits")


def test_a_run_that_waits_says_at_which_node(project: CommandLine) -> None:
    run = project.json(
        *("run", "--detach", "--break", "op:size @0", "--action", "wait", "infer.py", "models/head.mnn")
    )["id"]
    (stop,) = until(lambda: project.json("break", "show", run), "the run waits at an operator")
    assert stop["hit"]["source"] == "/head/Abs_1 (Abs)"
    assert "after size (UnaryOp #1, node /head/Abs_1 (Abs)), run 0 of head.mnn" in project.run("break", "show", run)
    project.run("break", "continue", run)


def test_a_trace_and_a_comparison_name_the_nodes(project: CommandLine) -> None:
    first, second = (project.json("trace", "infer.py", "models/head.mnn")["run"]["id"] for _ in range(2))
    shown = project.json("trace", "show", first)
    assert {row["name"]: row["source"] for row in shown["operators"]} == {
        "wave": "/head/Sin_0 (Sin)",
        "size": "/head/Abs_1 (Abs)",
        "y": "/head/Neg_2 (Neg)",
    }
    assert "size is /head/Abs_1 (Abs)" in " ".join(project.run("trace", "show", first).split())
    compared = project.json("trace", "compare", first, second)
    assert {row["source"] for row in compared["sessions"][0]["operators"]} == {
        "/head/Sin_0 (Sin)",
        "/head/Abs_1 (Abs)",
        "/head/Neg_2 (Neg)",
    }
    assert "size is /head/Abs_1 (Abs)" in " ".join(project.run("trace", "compare", first, second).split())
    assert "/head/Abs_1 (Abs)" in (project.folder / _exported(project, first)).read_text()


def test_a_search_for_divergence_knows_them_without_the_onnx_model(project: CommandLine) -> None:
    found = project.json("diverge", "models/head.mnn")
    assert {one["source"] for one in found["operators"]} == {
        "/head/Sin_0 (Sin)",
        "/head/Abs_1 (Abs)",
        "/head/Neg_2 (Neg)",
    }


def _exported(project: CommandLine, run: str) -> str:
    project.run("trace", "export", run)
    return f"{run}.trace.json"
