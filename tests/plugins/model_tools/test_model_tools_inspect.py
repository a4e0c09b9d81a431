from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from edgeloop import JobContext, ModelPath
from edgeloop_plugins.model_tools import native_tools
from edgeloop_plugins.model_tools.inspect import inspect
from edgeloop_plugins.model_tools.onnx_file import read_onnx
from edgeloop_plugins.model_tools.parameters import InspectParameters, QuantizeParameters
from edgeloop_plugins.model_tools.quantize import quantize
from edgeloop_shared.errors import ModelError, NotFoundError


def test_a_model_is_shown_with_its_tensors_operators_and_weights(context: JobContext, mnn_file: Path) -> None:
    shown = inspect(InspectParameters(ModelPath("small.mnn")), context)

    assert (shown.format, shown.producer, shown.source) == ("MNN", "edgeloop", "ONNX")
    assert shown.version.startswith("3.")
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in shown.inputs] == [
        ("image", (1, 8, 16, 16), "float32")
    ]
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in shown.outputs] == [("scores", (1, 10), "float32")]
    counts = {entry.type: entry.count for entry in shown.operator_counts}
    assert (counts["Convolution"], counts["ConvolutionDepthwise"], counts["Input"]) == (3, 1, 1)
    assert len(shown.operators) == sum(counts.values())
    assert shown.weights == 32 * 8 * 9 + 32 * 9 + 64 * 32 * 9 + 640
    assert shown.weight_bytes == 4 * (shown.weights + 32 + 32 + 64 + 10)
    assert shown.bytes == mnn_file.stat().st_size > shown.weight_bytes
    assert [(share.bits, share.weights, share.operators) for share in shown.bits] == [(32, shown.weights, 4)]
    assert shown.fraction_quantised == 0.0


def test_a_quantised_model_is_shown_with_its_bits(context: JobContext, mnn_file: Path) -> None:
    output = quantize(QuantizeParameters(ModelPath("small.mnn"), bits=4, block=16, asymmetric=True), context).output

    shown = inspect(InspectParameters(ModelPath(output)), context)

    assert shown.fraction_quantised == 1.0
    assert [(share.bits, share.weights, share.operators) for share in shown.bits] == [(4, 21664, 4)]
    weighted = [operator for operator in shown.operators if operator.weights]
    assert [(operator.bits, operator.asymmetric) for operator in weighted] == [(4, True)] * 4
    assert [operator.block for operator in weighted] == [0, 0, 16, 16]


def test_external_weights_are_counted_and_a_missing_file_is_told(context: JobContext, mnn_file: Path) -> None:
    external = context.workspace / "external.mnn"
    native_tools.run_converter(
        ["-f", "MNN", "--modelFile", str(mnn_file), "--MNNModel", str(external), "--saveExternalData"]
    )
    beside = context.workspace / "external.mnn.weight"

    shown = inspect(InspectParameters(ModelPath("external.mnn")), context)
    assert shown.weights == 21664
    assert shown.bytes == external.stat().st_size + beside.stat().st_size
    assert "external.mnn.weight" in shown.notes[0]

    beside.unlink()
    shown = inspect(InspectParameters(ModelPath("external.mnn")), context)
    assert "is missing" in shown.notes[0]
    assert [tensor.shape for tensor in shown.outputs] == [None]


def test_an_onnx_model_is_shown_without_the_onnx_package(context: JobContext, onnx_file: Path) -> None:
    shown = inspect(InspectParameters(ModelPath("small.onnx")), context)

    assert (shown.format, shown.version, shown.producer) == ("ONNX", "opset 13", "test")
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in shown.inputs] == [
        ("image", (1, 8, 16, 16), "float32")
    ]
    assert [(tensor.name, tensor.shape) for tensor in shown.outputs] == [("scores", (1, 10))]
    assert {entry.type: entry.count for entry in shown.operator_counts}["Conv"] == 3
    assert shown.operators[0].name == "first"


def test_nodes_inside_of_branches_are_found_and_open_sizes_are_minus_one(tmp_path: Path, onnx_file: Path) -> None:
    model = onnx.load(str(onnx_file))
    branch = helper.make_graph([helper.make_node("Frobnicate", ["scores"], ["inner"], name="hidden")], "branch", [], [])
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["chosen"], name="choice", then_branch=branch, else_branch=branch)
    )
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, str(onnx_file))

    found = read_onnx(onnx_file)

    assert [node.name for node in found.nodes if node.type == "Frobnicate"] == ["hidden", "hidden"]
    assert found.inputs[0].shape == (-1, 8, 16, 16)


@pytest.mark.parametrize(
    "content", [b"", b"text " * 99, b"\0" * 4096, bytes(range(256)) * 8], ids=["empty", "text", "zeros", "bytes"]
)
@pytest.mark.parametrize("name", ["odd.mnn", "odd.onnx"])
def test_a_file_that_is_no_model_is_refused(context: JobContext, name: str, content: bytes) -> None:
    (context.workspace / name).write_bytes(content)

    with pytest.raises(ModelError, match=r"odd\.(mnn|onnx) is (empty|not an)"):
        inspect(InspectParameters(ModelPath(name)), context)


def test_a_missing_model_is_named(context: JobContext) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.mnn"):
        inspect(InspectParameters(ModelPath("nowhere.mnn")), context)
