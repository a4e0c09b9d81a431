"""Makes models with planted faults, in a process of its own: `python divergence_models.py FOLDER`.

`good` is a small network as ONNX and as MNN. `wrong` has one channel of one layer's weights tripled, `nan` a NaN in that
layer's bias; `good8` and `wrong8` store their weights in 8 bits. `root` takes the root of negative numbers, `rooted` of their
distances from zero. `branch` has control flow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import _tools  # the converter itself; its console script would report to its maker
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH = 12
WRONG_CHANNEL = 5
node, value = helper.make_node, helper.make_tensor_value_info


def network(*, factor: float = 1.0, bias: float = 0.0) -> onnx.ModelProto:
    """Return four layers; in channel 5 of the third one the weights are `factor` times as large and the bias is `bias`."""
    random = np.random.default_rng(0)
    nodes, weights, current, width = [], [], "image", 3
    for layer in range(1, 5):
        kernel = (random.standard_normal((WIDTH, width, 3, 3)) / np.sqrt(5 * width)).astype(np.float32)
        biases = np.zeros(WIDTH, np.float32)
        if layer == 3:
            kernel[WRONG_CHANNEL] *= factor
            biases[WRONG_CHANNEL] = bias
        weights += [numpy_helper.from_array(kernel, f"k{layer}"), numpy_helper.from_array(biases, f"b{layer}")]
        inputs = [current, f"k{layer}", f"b{layer}"]
        nodes.append(node("Conv", inputs, [f"conv{layer}"], name=f"Conv_{layer}", pads=[1, 1, 1, 1]))
        current, width = f"conv{layer}", WIDTH
        if layer != 3:  # so that negative numbers stay
            nodes.append(node("Relu", [f"conv{layer}"], [f"relu{layer}"], name=f"Relu_{layer}"))
            current = f"relu{layer}"
    nodes.append(node("GlobalAveragePool", [current], ["pooled"], name="Pool_5"))
    inputs_of_graph = [value("image", TensorProto.FLOAT, [1, 3, 16, 16])]
    outputs = [value("pooled", TensorProto.FLOAT, [1, WIDTH, 1, 1])]
    return model(helper.make_graph(nodes, "network", inputs_of_graph, outputs, weights))


def root(*, of_distance: bool = False) -> onnx.ModelProto:
    """Return a model that computes NaN wherever the sine of its input is negative, unless it takes that `of_distance`."""
    nodes = [
        node("Sin", ["x"], ["wave"], name="Sin_0"),
        *([node("Abs", ["wave"], ["distance"], name="Abs_0")] if of_distance else []),
        node("Sqrt", ["distance" if of_distance else "wave"], ["root"], name="Sqrt_1"),
        node("Neg", ["root"], ["y"], name="Neg_2"),
    ]
    shape = [2, 8]
    graph = helper.make_graph(
        nodes, "root", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)]
    )
    return model(graph)


def branch() -> onnx.ModelProto:
    """Return a model with control flow."""
    shape = [2, 3]
    then = helper.make_graph(
        [node("Add", ["x", "x"], ["twice"])], "then", [], [value("twice", TensorProto.FLOAT, shape)]
    )
    other = helper.make_graph([node("Neg", ["x"], ["minus"])], "else", [], [value("minus", TensorProto.FLOAT, shape)])
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["is_positive"]),
        node("If", ["is_positive"], ["y"], then_branch=then, else_branch=other),
    ]
    zero: NDArray[np.float32] = np.array(0, np.float32)
    graph = helper.make_graph(
        nodes,
        "branch",
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(zero, "zero")],
    )
    return model(graph)


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def convert(source: Path, target: Path, *options: str) -> None:
    arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "test"]
    _tools.mnnconvert(["MNNConvert", *arguments, *options])
    assert target.is_file(), target


def main() -> None:
    """Write everything."""
    folder = Path(sys.argv[1])
    models = {
        "good": network(),
        "wrong": network(factor=3.0),
        "nan": network(bias=float("nan")),
        "root": root(),
        "rooted": root(of_distance=True),
        "branch": branch(),
    }
    for name, made in models.items():
        onnx.save(made, str(folder / f"{name}.onnx"))
        convert(folder / f"{name}.onnx", folder / f"{name}.mnn")
    for name in ("good", "wrong"):
        convert(folder / f"{name}.onnx", folder / f"{name}8.mnn", "--weightQuantBits", "8")
    for name in models.keys() - {"good", "root"}:
        (folder / f"{name}.onnx").unlink()


if __name__ == "__main__":
    main()
