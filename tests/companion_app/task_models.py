"""Small real models, made in a process of their own: `python task_models.py FOLDER`.

Each has one reason to exist: an order of inputs, a layout, a dtype, open sizes, control flow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
value = helper.make_tensor_value_info
node = helper.make_node


def random(*shape: int) -> NDArray[np.float32]:
    """Return the same random numbers every time."""
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


TABLE = random(7, 5)
KERNEL = random(6, 3, 3, 3)


def save(
    folder: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    **constants: NDArray[np.generic],
) -> None:
    """Write an ONNX model."""
    initial = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / f"{name}.onnx"))


def save_all(folder: Path) -> None:
    """Write every model as ONNX."""
    conv = [
        node("Conv", ["image", "kernel"], ["conv"], name="first", pads=[1, 1, 1, 1]),
        node("Relu", ["conv"], ["relu"], name="second"),
        node("GlobalAveragePool", ["relu"], ["pooled"], name="third"),
    ]
    output = value("pooled", FLOAT, None)
    save(folder, "network", conv, [value("image", FLOAT, [1, 3, 8, 8])], [output], kernel=KERNEL)
    save(folder, "open", conv, [value("image", FLOAT, ["n", 3, "h", "w"])], [output], kernel=KERNEL)
    pair = [value("z", FLOAT, [2, 3]), value("a", FLOAT, [2, 3])]
    save(
        folder,
        "pair",
        [node("Sub", ["z", "a"], ["minus"]), node("Add", ["z", "a"], ["added"])],
        pair,
        [value("minus", FLOAT, [2, 3]), value("added", FLOAT, [2, 3])],
    )
    save(
        folder,
        "words",
        [node("Gather", ["table", "ids"], ["vectors"])],
        [value("ids", INT64, [4])],
        [value("vectors", FLOAT, [4, 5])],
        table=TABLE,
    )
    save(
        folder,
        "bytes",
        [node("Cast", ["pixels"], ["floats"], to=FLOAT), node("Mul", ["floats", "two"], ["doubled"])],
        [value("pixels", UINT8, [2, 3])],
        [value("doubled", FLOAT, [2, 3])],
        two=np.array(2, np.float32),
    )
    save(
        folder,
        "total",
        [node("ReduceSum", ["x"], ["total"], keepdims=0)],
        [value("x", FLOAT, [2, 3])],
        [value("total", FLOAT, [])],
    )
    save(
        folder,
        "nonzero",
        [node("NonZero", ["x"], ["places"])],
        [value("x", FLOAT, [2, 3])],
        [value("places", INT64, None)],
    )
    save(
        folder,
        "planted",
        [
            node("Sin", ["x"], ["wave"]),
            node("Sqrt", ["wave"], ["root"]),
            node("Cos", ["root"], ["again"]),
            node("Neg", ["again"], ["y"]),
        ],
        [value("x", FLOAT, [2, 3])],
        [value("y", FLOAT, [2, 3])],
    )
    save(
        folder,
        "largest",
        [node("TopK", ["x", "k"], ["values", "places"])],
        [value("x", FLOAT, [2, 5])],
        [value("values", FLOAT, [2, 2]), value("places", INT64, [2, 2])],
        k=np.array([2], np.int64),
    )
    then = helper.make_graph([node("Add", ["x", "x"], ["twice"])], "then", [], [value("twice", FLOAT, [2, 3])])
    other = helper.make_graph([node("Neg", ["x"], ["negated"])], "else", [], [value("negated", FLOAT, [2, 3])])
    save(
        folder,
        "branch",
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Greater", ["sum", "zero"], ["is_positive"]),
            node("If", ["is_positive"], ["y"], then_branch=then, else_branch=other),
        ],
        [value("x", FLOAT, [2, 3])],
        [value("y", FLOAT, [2, 3])],
        zero=np.array(0, np.float32),
    )


def convert_all(folder: Path) -> None:
    """Make an MNN model of every ONNX model, and of `network` one whose weights stand beside it."""
    import _tools  # the converter itself; its console script would report to its maker

    def convert(source: Path, target: Path, *options: str) -> None:
        arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "test"]
        _tools.mnnconvert(["MNNConvert", *arguments, *options])
        assert target.is_file(), target

    for source in sorted(folder.glob("*.onnx")):
        convert(source, source.with_suffix(".mnn"))
    convert(folder / "network.onnx", folder / "beside.mnn", "--saveExternalData")
    convert(folder / "network.onnx", folder / "weights8.mnn", "--weightQuantBits", "8")
    quantise_activations(folder)


def quantise_activations(folder: Path) -> None:
    """Make of `network` a model that computes in 8-bit integers, calibrated on random images."""
    import _tools

    samples = folder / "samples"
    for number in range(2):
        sample = samples / str(number)
        sample.mkdir(parents=True)
        np.savetxt(sample / "image.txt", random(1, 3, 8, 8).ravel())
        described = {"inputs": [{"name": "image", "shape": [1, 3, 8, 8]}], "outputs": ["pooled"]}
        (sample / "input.json").write_text(json.dumps(described))
    options = {"path": f"{samples}/", "used_sample_num": 2, "input_type": "sequence", "format": "RGB"}
    methods = {"feature_quantize_method": "KL", "weight_quantize_method": "MAX_ABS"}
    configuration = folder / "quantise.json"
    configuration.write_text(json.dumps(options | methods))
    target = folder / "integers.mnn"
    _tools.mnnquant(["MNNQuant", str(folder / "network.mnn"), str(target), str(configuration)])
    assert target.is_file()


def save_layouts(folder: Path) -> None:
    """Write a model that has its channels last, and one whose tensors are in MNN's packed layout."""
    import MNN.expr as F  # noqa: N812

    last = F.placeholder([1, 4, 5, 3], F.NHWC, F.float)
    last.name = "x"
    scaled = F.multiply(last, F.const([1.0, 10.0, 100.0], [3], F.NHWC))
    scaled.name = "scaled"
    F.save([scaled], str(folder / "channels-last.mnn"))
    packed = F.placeholder([1, 5, 2, 2], F.NC4HW4, F.float)
    packed.name = "x"
    negated = F.negative(packed)
    negated.name = "negated"
    F.save([negated], str(folder / "packed.mnn"))


if __name__ == "__main__":
    save_all(Path(sys.argv[1]))
    convert_all(Path(sys.argv[1]))
    save_layouts(Path(sys.argv[1]))
