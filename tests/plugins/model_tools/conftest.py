"""Small real models, and a job context."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeloop.testing import RecordingContext
from edgeloop_plugins.model_tools import native_tools


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    workspace, folder = tmp_path / "workspace", tmp_path / "job"
    workspace.mkdir()
    folder.mkdir()
    return RecordingContext(workspace, folder)


@pytest.fixture
def log_lines(context: RecordingContext) -> list[str]:
    return context.lines


def weights(name: str, *shape: int) -> onnx.TensorProto:
    generator = np.random.default_rng(sum(shape))
    return numpy_helper.from_array((generator.normal(size=shape) * 0.1).astype(np.float32), name)


def onnx_model(
    nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], initial: list[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 16, 16])], outputs, initial
    )
    sets = [helper.make_opsetid("", 13), helper.make_opsetid("com.acme", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8, producer_name="test")


def small_network() -> onnx.ModelProto:
    """Convolution, depthwise convolution, strided convolution, pooling, fully connected: 21,664 weights."""
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="first_relu"),
        helper.make_node("Conv", ["r1", "wd", "bd"], ["d1"], name="depthwise", group=32, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["d1", "w2", "b2"], ["c2"], name="second", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c2"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "wf", "bf"], ["scores"], name="classify", transB=1),
    ]
    initial = [
        weights("w1", 32, 8, 3, 3),
        weights("b1", 32),
        weights("wd", 32, 1, 3, 3),
        weights("bd", 32),
        weights("w2", 64, 32, 3, 3),
        weights("b2", 64),
        weights("wf", 10, 64),
        weights("bf", 10),
    ]
    return onnx_model(nodes, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])], initial)


@pytest.fixture
def onnx_file(context: RecordingContext) -> Path:
    path = context.workspace / "small.onnx"
    onnx.save(small_network(), str(path))
    return path


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as MNN, converted once."""
    folder = tmp_path_factory.mktemp("converted")
    onnx.save(small_network(), str(folder / "small.onnx"))
    arguments = ["-f", "ONNX", "--modelFile", str(folder / "small.onnx"), "--MNNModel", str(folder / "small.mnn")]
    native_tools.run_converter([*arguments, "--bizCode", "edgeloop"])
    return folder / "small.mnn"


@pytest.fixture
def mnn_file(converted: Path, context: RecordingContext) -> Path:
    return Path(shutil.copy(converted, context.workspace / "small.mnn"))
