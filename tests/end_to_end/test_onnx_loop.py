"""A small ONNX model goes all the way: convert, inspect, quantize, run on a device, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from end_to_end.command_line import CommandLine
from onnx import TensorProto, helper, numpy_helper

SCRIPT = """
import sys
import edgeloop_task
import numpy as np

model = edgeloop_task.load_model(sys.argv[1])
image = np.load("assets/image.npy")
scores = model(image)
print("scores of", sys.argv[1])
np.save("scores.npy", scores)
edgeloop_task.report_file("scores.npy")
edgeloop_task.report_metric("largest", float(scores.max()))
edgeloop_task.report_result(scores=scores, p50_ms=model.time(image, repeats=5).p50_ms)
"""


def save_small_network(path: Path) -> None:
    """Write an ONNX network of two convolutions, global pooling and softmax over 5 classes."""
    random = np.random.default_rng(7)
    weights = {
        "w1": random.normal(size=(16, 3, 3, 3)).astype(np.float32) * 0.3,
        "w2": random.normal(size=(32, 16, 3, 3)).astype(np.float32) * 0.1,
        "w3": random.normal(size=(5, 32, 1, 1)).astype(np.float32) * 0.5,
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="first_relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="second_relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Conv", ["p", "w3"], ["c3"], name="classify"),
        helper.make_node("Flatten", ["c3"], ["f"], name="flatten"),
        helper.make_node("Softmax", ["f"], ["scores"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def project(workspace: CommandLine) -> CommandLine:
    """The workspace with an ONNX model, an input and a device script."""
    save_small_network(workspace.folder / "small.onnx")
    (workspace.folder / "assets").mkdir(exist_ok=True)
    image = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    np.save(workspace.folder / "assets" / "image.npy", image)
    (workspace.folder / "scores.py").write_text(SCRIPT)
    return workspace


def test_an_onnx_model_is_converted_quantized_run_and_compared(
    project: CommandLine, device: dict[str, Any], tmp_path: Path
) -> None:
    converted = project.json("convert", "small.onnx")
    assert Path(converted["output"]).name == "small.mnn"
    quantized = project.json("quantize", "small.mnn", "--bits", "8")
    assert quantized["bits"] == 8
    assert quantized["output_bytes"] < converted["output_bytes"] / 2

    facts = project.json("inspect", quantized["output"])
    assert facts["fraction_quantised"] > 0.9
    assert facts["inputs"][0]["name"] == "image"

    run = project.json("run", "--trace", "--device", "pocket", "--output", str(tmp_path), "scores.py", "small.mnn")
    assert run["state"] == "succeeded"
    assert run["result"]["p50_ms"] > 0
    on_device = np.load(tmp_path / "scores.npy")
    assert on_device.shape == (1, 5)
    assert on_device.sum() == pytest.approx(1, abs=1e-4)
    assert on_device.ravel().tolist() == pytest.approx(run["result"]["scores"][0])

    exported = project.json("trace", "export", run["id"])
    events = [e for e in json.loads(Path(exported["path"]).read_text())["traceEvents"] if "mflops" in e.get("args", ())]
    assert "Convolution" in {event["cat"] for event in events}

    compared = project.json("compare", "small.mnn", "small-int8.mnn")
    assert compared["variants"][0]["differences"][0]["cosine"] > 0.99


def test_the_log_of_a_run_can_be_read_afterwards(project: CommandLine, device: dict[str, Any]) -> None:
    project.run("convert", "small.onnx", "--output", "log.mnn")
    run = project.json("run", "scores.py", "log.mnn")
    assert "scores of log.mnn" in project.run("logs", run["id"])
    assert run["id"] in project.run("runs")


def test_a_second_run_sends_only_what_is_new(project: CommandLine, device: dict[str, Any]) -> None:
    project.run("convert", "small.onnx", "--output", "again.mnn")
    project.run("run", "scores.py", "again.mnn")
    script = project.folder / "scores.py"
    script.write_text(script.read_text() + "# one line more\n")
    run = project.json("run", "scores.py", "again.mnn")
    assert run["transfer"]["total"] < 2 * script.stat().st_size + 4096


def test_an_unsupported_operator_is_named_with_its_node(project: CommandLine) -> None:
    graph = helper.make_graph(
        [helper.make_node("Frobnicate", ["x"], ["y"], name="odd_one", domain="")],
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    onnx.save(helper.make_model(graph), str(project.folder / "odd.onnx"))
    error = project.fail("convert", "odd.onnx")
    assert error["code"] == "conversion-failed"
    assert "Frobnicate" in error["message"]
    assert "odd_one" in json.dumps(error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("text.onnx", b"this is a text file\n" * 50),
        ("random.onnx", bytes(np.random.default_rng(3).integers(0, 256, 4000, dtype=np.uint8))),
        ("empty.mnn", b""),
        ("text.mnn", b"this is a text file\n" * 50),
        ("random.mnn", bytes(np.random.default_rng(3).integers(0, 256, 4000, dtype=np.uint8))),
    ],
)
def test_a_file_that_is_no_model_is_refused_clearly(project: CommandLine, name: str, content: bytes) -> None:
    path = project.folder / name
    path.write_bytes(content)
    tool = "convert" if path.suffix == ".onnx" else "quantize"
    error = project.fail(tool, name)
    assert error["code"] in ("conversion-failed", "model-error", "invalid-input")
    assert name in error["message"]
    done = project.call(tool, name)
    assert done.returncode == 1
    assert done.stderr.startswith("Error:")
