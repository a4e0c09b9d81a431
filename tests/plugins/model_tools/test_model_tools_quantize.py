from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeloop import JobContext, ModelPath
from edgeloop_plugins.model_tools import native_tools
from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_plugins.model_tools.parameters import QuantizeParameters
from edgeloop_plugins.model_tools.quantize import quantize
from edgeloop_shared.errors import ConversionError, InvalidInputError, ModelError, NotFoundError

# Trains nothing: the weights' values do not matter here, but who wrote the layers does.
FULLY_CONNECTED = """
import sys, MNN
import MNN.expr as F, MNN.nn as nn
F.lazy_eval(True)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.conv(1, 8, [3, 3], [1, 1], [1, 1])
        self.hidden, self.scores = nn.linear(64, 512), nn.linear(512, 10)
    def forward(self, x):
        return self.scores(F.relu(self.hidden(F.reshape(x, [1, 64]))))
net = Net()
net.train(False)
x = F.placeholder([1, 64], F.NCHW)
x.name = "image"
y = net.forward(x)
y.name = "scores"
F.save([y], sys.argv[1])
"""


@pytest.fixture
def fully_connected(context: JobContext) -> Path:
    path = context.workspace / "connected.mnn"
    subprocess.run([sys.executable, "-c", FULLY_CONNECTED, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_every_weight_has_the_bits_that_were_asked_for(context: JobContext, mnn_file: Path, bits: int) -> None:
    result = quantize(QuantizeParameters(ModelPath("small.mnn"), bits=bits), context)

    model = read_model(Path(result.output))
    assert model.weights_by_bits() == {bits: 21664}
    assert (result.bits, result.fraction_changed, result.operators_changed, result.left_out) == (bits, 1.0, 4, ())
    assert result.output == str(context.workspace / f"small-int{bits}.mnn")
    assert result.ratio == result.output_bytes / result.source_bytes < bits / 32 + 0.08


def test_eight_bits_are_the_default(context: JobContext, mnn_file: Path) -> None:
    assert quantize(QuantizeParameters(ModelPath("small.mnn")), context).bits == 8


def test_fp16_halves_the_model(context: JobContext, mnn_file: Path) -> None:
    result = quantize(QuantizeParameters(ModelPath("small.mnn"), fp16=True), context)

    assert read_model(Path(result.output)).weights_by_bits() == {16: 21664}
    assert 0.45 < result.ratio < 0.56
    assert result.output.endswith("small-fp16.mnn")


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_weights_are_symmetric_or_not_as_asked(
    context: JobContext, mnn_file: Path, bits: int, asymmetric: bool
) -> None:
    result = quantize(QuantizeParameters(ModelPath("small.mnn"), bits=bits, asymmetric=asymmetric), context)

    stored = [operator.weights for operator in read_model(Path(result.output)).weighted]
    assert [weights.asymmetric for weights in stored if weights] == [asymmetric] * 4


def test_a_block_of_channels_shares_a_scale_where_the_channels_suffice(context: JobContext, mnn_file: Path) -> None:
    result = quantize(QuantizeParameters(ModelPath("small.mnn"), bits=4, block=16), context)

    blocks = {
        operator.name: operator.weights.block
        for operator in read_model(Path(result.output)).weighted
        if operator.weights
    }
    assert sorted(blocks.values()) == [0, 0, 16, 16]
    assert "2 of 4 operators have one scale per output channel" in result.notes[0]


def test_a_block_that_fits_no_operator_is_an_error(context: JobContext, mnn_file: Path) -> None:
    with pytest.raises(ConversionError, match="Blocks of 640 input channels had no effect"):
        quantize(QuantizeParameters(ModelPath("small.mnn"), bits=4, block=640), context)


def test_hqq_is_what_mnn_says_it_used(context: JobContext, mnn_file: Path, log_lines: list[str]) -> None:
    result = quantize(QuantizeParameters(ModelPath("small.mnn"), bits=4, hqq=True), context)

    stored = [operator.weights for operator in read_model(Path(result.output)).weighted]
    assert {(weights.bits, weights.asymmetric) for weights in stored if weights} == {(4, True)}
    assert any("HQQ" in line for line in log_lines)


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        (QuantizeParameters(ModelPath("small.mnn"), fp16=True, bits=8), ["bits"]),
        (
            QuantizeParameters(ModelPath("small.mnn"), fp16=True, asymmetric=True, block=4, hqq=True),
            ["asymmetric", "block", "hqq"],
        ),
    ],
)
def test_fp16_excludes_the_options_of_integers(
    context: JobContext, mnn_file: Path, parameters: QuantizeParameters, fields: list[str]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        quantize(parameters, context)

    assert [entry["field"] for entry in caught.value.details["fields"]] == fields


def test_layers_that_mnn_cannot_quantise_are_named_with_the_cause(context: JobContext, fully_connected: Path) -> None:
    with pytest.raises(ConversionError, match="MNN changed only 0 of the") as caught:
        quantize(QuantizeParameters(ModelPath("connected.mnn"), bits=4), context)

    largest = caught.value.details["operators"][0]
    assert (largest["type"], largest["weights"]) == ("Const", 64 * 512)
    assert "quantises the weights of convolutions only" in largest["reason"]
    assert "1x1 convolutions" in caught.value.hint
    assert [path.name for path in context.workspace.iterdir()] == ["connected.mnn"]


def test_fp16_reaches_constants_too(context: JobContext, fully_connected: Path) -> None:
    result = quantize(QuantizeParameters(ModelPath("connected.mnn"), fp16=True), context)

    assert result.fraction_changed == 1.0
    assert result.ratio < 0.56


@pytest.mark.parametrize("first", [{"bits": 8}, {"fp16": True}], ids=["int8", "fp16"])
def test_a_model_that_is_quantised_already_is_refused(
    context: JobContext, mnn_file: Path, first: dict[str, int | bool]
) -> None:
    smaller = quantize(QuantizeParameters(ModelPath("small.mnn"), **first), context).output  # type: ignore[arg-type]

    with pytest.raises(ConversionError, match="quantised already"):
        quantize(QuantizeParameters(ModelPath(smaller), bits=4), context)


def test_weights_outside_of_the_model_are_taken_along(context: JobContext, mnn_file: Path) -> None:
    external = context.workspace / "external.mnn"
    native_tools.run_converter(
        ["-f", "MNN", "--modelFile", str(mnn_file), "--MNNModel", str(external), "--saveExternalData"]
    )

    result = quantize(QuantizeParameters(ModelPath("external.mnn")), context)
    assert read_model(Path(result.output)).weights_by_bits() == {8: 21664}

    external.with_name("external.mnn.weight").unlink()
    with pytest.raises(NotFoundError, match=r"external\.mnn\.weight"):
        quantize(QuantizeParameters(ModelPath("external.mnn")), context)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"some text " * 50, "not an MNN model"), (b"\xfe\x03" * 900, "not an MNN model")],
    ids=["empty", "text", "random"],
)
def test_a_file_that_is_no_model_never_reaches_mnn(
    context: JobContext, content: bytes, why: str, log_lines: list[str]
) -> None:
    (context.workspace / "odd.mnn").write_bytes(content)

    with pytest.raises(ModelError, match=why):
        quantize(QuantizeParameters(ModelPath("odd.mnn")), context)

    assert [path.name for path in context.workspace.iterdir()] == ["odd.mnn"]
    assert not log_lines


@pytest.mark.parametrize("part", [0.1, 0.5, 0.55, 0.9, 0.999])
def test_a_truncated_model_is_refused_where_mnn_would_write_half_a_model(
    context: JobContext, mnn_file: Path, part: float
) -> None:
    whole = mnn_file.read_bytes()
    mnn_file.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(ModelError, match="not an MNN model"):
        quantize(QuantizeParameters(ModelPath("small.mnn")), context)


def test_an_onnx_model_is_answered_with_the_way_to_convert_it(context: JobContext, onnx_file: Path) -> None:
    with pytest.raises(ModelError) as caught:
        quantize(QuantizeParameters(ModelPath("small.onnx")), context)

    assert "edgeloop convert small.onnx" in caught.value.hint


def test_a_model_is_not_overwritten_by_its_own_variant(context: JobContext, mnn_file: Path) -> None:
    with pytest.raises(InvalidInputError, match="is the model itself"):
        quantize(QuantizeParameters(ModelPath("small.mnn"), ModelPath("./small.mnn")), context)
