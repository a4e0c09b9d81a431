"""Makes models to measure, in a process of its own: `python measured_models.py FOLDER`.

`small.mnn` and `large.mnn` compute the same kind of thing, the latter some fifty times more of it. `images.npz` holds
inputs of both and, as `labels`, what `small.mnn` says of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import _tools  # the converter itself; its console script would report to its maker
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgeloop_task

CLASSES = 10


def save(path: Path, channels: int, layers: int) -> None:
    """Write a network of convolutions on images float32 `[1, 3, 16, 16]` with scores `[1, 10, 1, 1]`."""
    generator = np.random.default_rng(0)
    nodes, weights, current, width = [], [], "image", 3
    for layer in range(layers):
        kernel = generator.standard_normal((channels, width, 3, 3)) / np.sqrt(9 * width)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"kernel{layer}"))
        nodes.append(helper.make_node("Conv", [current, f"kernel{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
        current, width = f"relu{layer}", channels
    head = generator.standard_normal((CLASSES, width, 16, 16)) / np.sqrt(256 * width)
    weights.append(numpy_helper.from_array(head.astype(np.float32), "head"))
    nodes.append(helper.make_node("Conv", [current, "head"], ["scores"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES, 1, 1])
    graph = helper.make_graph(nodes, "network", [image], [scores], weights)
    source = path.with_suffix(".onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(source))
    _tools.mnnconvert(
        ["MNNConvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(path), "--bizCode", "t"]
    )
    source.unlink()


def main() -> None:
    """Write everything."""
    folder = Path(sys.argv[1])
    save(folder / "small.mnn", 8, 2)
    save(folder / "large.mnn", 64, 6)
    images = np.random.default_rng(1).standard_normal((40, 3, 16, 16)).astype(np.float32)
    model = edgeloop_task.load_model(folder / "small.mnn")
    labels = [int(model(image[None]).argmax()) for image in images]
    np.savez(folder / "images.npz", image=images, labels=np.array(labels))


if __name__ == "__main__":
    main()
