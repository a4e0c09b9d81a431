from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import edgeloop_task
from edgeloop import JobContext, ModelPath
from edgeloop_plugins.model_tools.convert import convert
from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_plugins.model_tools.parameters import ConvertParameters, QuantizeParameters
from edgeloop_plugins.model_tools.quantize import quantize
from edgeloop_shared.conversions import read_conversion, record_path
from edgeloop_shared.errors import ConversionError, InvalidInputError, ModelError, NotFoundError


def test_a_converted_model_computes_what_the_onnx_model_computes(context: JobContext, onnx_file: Path) -> None:
    result = convert(ConvertParameters(ModelPath("small.onnx")), context)

    image = np.random.default_rng(1).normal(size=(1, 8, 16, 16)).astype(np.float32)
    (expected,) = ReferenceEvaluator(str(onnx_file)).run(None, {"image": image})
    model = edgeloop_task.load_model(result.output)
    np.testing.assert_allclose(model(image), np.asarray(expected), atol=1e-4)
    assert result.output == str(onnx_file.with_suffix(".mnn"))
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in result.inputs] == [
        ("image", (1, 8, 16, 16), "float32")
    ]
    assert result.outputs == ("scores",)
    assert result.output_bytes == Path(result.output).stat().st_size


def test_fp16_halves_the_weights(context: JobContext, onnx_file: Path) -> None:
    result = convert(ConvertParameters(ModelPath("small.onnx"), ModelPath("half.mnn"), fp16=True), context)

    assert read_model(Path(result.output)).weights_by_bits() == {16: 21664}
    assert result.output_bytes < 0.56 * result.source_bytes


def test_the_output_goes_where_it_is_asked_to_go_and_nothing_else_is_written(
    context: JobContext, onnx_file: Path
) -> None:
    result = convert(ConvertParameters(ModelPath("small.onnx"), ModelPath("models/new.mnn")), context)

    assert result.output == str(context.workspace / "models/new.mnn")
    assert sorted(path.name for path in (context.workspace / "models").iterdir()) == ["new.mnn", "new.mnn.nodes.json"]
    assert sorted(path.name for path in context.workspace.iterdir()) == ["models", "small.onnx"]


def test_the_nodes_that_the_operators_come_from_are_recorded_and_outlive_quantising(
    context: JobContext, onnx_file: Path
) -> None:
    converted = convert(ConvertParameters(ModelPath("small.onnx")), context)
    quantised = quantize(QuantizeParameters(ModelPath("small.mnn")), context)

    for model in (converted.output, quantised.output):
        conversion = read_conversion(Path(model))
        assert conversion is not None
        assert conversion.source == "small.onnx"
        assert {str(conversion.find(name)) for name in ("d1", "c2", "scores_raster_0")} == {
            "depthwise (Conv)",
            "second (Conv)",
            "classify (Gemm)",
        }
    record_path(Path(converted.output)).unlink()
    quantize(QuantizeParameters(ModelPath("small.mnn")), context)
    assert not record_path(Path(quantised.output)).exists(), "that of the model before"


def test_a_path_may_hold_spaces_commas_and_letters_of_any_language(context: JobContext, onnx_file: Path) -> None:
    onnx_file.rename(context.workspace / "mein größtes, bestes 模型.onnx")

    result = convert(ConvertParameters(ModelPath("mein größtes, bestes 模型.onnx")), context)

    assert Path(result.output).name == "mein größtes, bestes 模型.mnn"
    assert read_model(Path(result.output)).weights_by_bits() == {32: 21664}


def test_unsupported_operators_are_named_with_their_nodes(context: JobContext, onnx_file: Path) -> None:
    model = onnx.load(str(onnx_file))
    model.graph.node.append(helper.make_node("Frobnicate", ["scores"], ["odd"], name="oddity_7"))
    model.graph.node.append(helper.make_node("Blorb", ["odd"], ["odder"], domain="com.acme"))
    model.graph.output[0].name = "odder"
    onnx.save(model, str(onnx_file))

    with pytest.raises(ConversionError) as caught:
        convert(ConvertParameters(ModelPath("small.onnx")), context)

    assert caught.value.details["operators"] == [
        {"type": "Frobnicate", "node": "oddity_7"},
        {"type": "Blorb", "node": "odder"},
    ]
    assert "Frobnicate (node 'oddity_7')" in caught.value.message
    assert any("Not Support" in line for line in caught.value.details["native_output"])
    assert [path.name for path in context.workspace.iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"hello, this is a text and no model\n" * 20, "is not an ONNX model"),
        (np.random.default_rng(3).bytes(4096), "is not an ONNX model"),
        (b"\0" * 4096, "is not an ONNX model"),
    ],
    ids=["empty", "text", "random", "zeros"],
)
def test_a_file_that_is_no_onnx_model_is_refused(context: JobContext, content: bytes, why: str) -> None:
    (context.workspace / "odd.onnx").write_bytes(content)

    with pytest.raises(ModelError, match=why):
        convert(ConvertParameters(ModelPath("odd.onnx")), context)

    assert [path.name for path in context.workspace.iterdir()] == ["odd.onnx"]


@pytest.mark.parametrize("part", [0.02, 0.5, 0.98, 0.9999])
def test_a_truncated_onnx_model_is_refused(context: JobContext, onnx_file: Path, part: float) -> None:
    whole = onnx_file.read_bytes()
    onnx_file.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(ModelError, match="not an ONNX model"):
        convert(ConvertParameters(ModelPath("small.onnx")), context)


def test_an_mnn_model_is_not_taken_for_onnx(context: JobContext, mnn_file: Path) -> None:
    with pytest.raises(ModelError, match="not an ONNX model"):
        convert(ConvertParameters(ModelPath("small.mnn"), ModelPath("other.mnn")), context)


def test_a_missing_model_is_named(context: JobContext) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.onnx"):
        convert(ConvertParameters(ModelPath("nowhere.onnx")), context)


def test_only_a_regular_file_is_a_model(context: JobContext) -> None:
    os.mkfifo(context.workspace / "pipe.onnx")

    for name in (".", "pipe.onnx"):
        with pytest.raises(NotFoundError, match="is not a file"):
            convert(ConvertParameters(ModelPath(name)), context)


@pytest.mark.parametrize("output", ["model.onnx", "model", "folder.mnn"])
def test_an_impossible_output_is_refused_before_any_work(context: JobContext, onnx_file: Path, output: str) -> None:
    (context.workspace / "folder.mnn").mkdir()

    with pytest.raises(InvalidInputError, match="output"):
        convert(ConvertParameters(ModelPath("small.onnx"), ModelPath(output)), context)


def test_weights_in_a_file_beside_the_model_are_converted(context: JobContext, onnx_file: Path) -> None:
    onnx.save(
        onnx.load(str(onnx_file)), str(onnx_file), save_as_external_data=True, location="w.bin", size_threshold=64
    )

    result = convert(ConvertParameters(ModelPath("small.onnx")), context)

    assert read_model(Path(result.output)).weights_by_bits() == {32: 21664}


def test_a_missing_file_of_weights_is_named(context: JobContext, onnx_file: Path) -> None:
    onnx.save(
        onnx.load(str(onnx_file)), str(onnx_file), save_as_external_data=True, location="w.bin", size_threshold=64
    )
    (context.workspace / "w.bin").unlink()

    with pytest.raises(ModelError, match=r"'w\.bin', which is not beside it"):
        convert(ConvertParameters(ModelPath("small.onnx")), context)


def test_weights_outside_of_the_models_folder_are_refused(context: JobContext, onnx_file: Path) -> None:
    model = onnx.load(str(onnx_file))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    onnx_file.write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match="outside of its own folder"):
        convert(ConvertParameters(ModelPath("small.onnx")), context)


def test_an_operator_that_does_not_fit_its_input_is_an_error(context: JobContext) -> None:
    nodes = [helper.make_node("MatMul", ["image", "w"], ["scores"], name="misfit")]
    graph = helper.make_graph(
        nodes,
        "misfit",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 7])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.ones((64, 10), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(context.workspace / "misfit.onnx"))

    with pytest.raises(ConversionError):
        convert(ConvertParameters(ModelPath("misfit.onnx")), context)

    assert [path.name for path in context.workspace.iterdir()] == ["misfit.onnx"]


def test_a_model_that_stood_at_the_output_survives_a_failure(context: JobContext, onnx_file: Path) -> None:
    model = onnx.load(str(onnx_file))
    model.graph.node[0].op_type = "Frobnicate"
    onnx.save(model, str(onnx_file))
    onnx_file.with_suffix(".mnn").write_bytes(b"the old one")

    with pytest.raises(ConversionError):
        convert(ConvertParameters(ModelPath("small.onnx")), context)

    assert onnx_file.with_suffix(".mnn").read_bytes() == b"the old one"
