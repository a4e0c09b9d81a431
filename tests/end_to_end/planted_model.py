"""Makes `planted.mnn`, in a process of its own: `python planted_model.py FOLDER`.

It computes `-cos(sqrt(sin(x)))` for x float32 `[2, 3]`; where the sine is negative the operator `root` makes a NaN.
"""

from __future__ import annotations

import sys
from pathlib import Path

import _tools  # the converter itself; its console script would report to its maker
import onnx
from onnx import TensorProto, helper


def main() -> None:
    """Write the model."""
    folder = Path(sys.argv[1])
    steps = ("Sin", "wave"), ("Sqrt", "root"), ("Cos", "again"), ("Neg", "y")
    names = ["x", *(name for _, name in steps)]
    nodes = [helper.make_node(kind, [before], [name]) for before, (kind, name) in zip(names[:-1], steps, strict=True)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "planted", ends[:1], ends[1:])
    source = folder / "planted.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(source))
    target = ["--MNNModel", str(folder / "planted.mnn"), "--bizCode", "t"]
    _tools.mnnconvert(["MNNConvert", "-f", "ONNX", "--modelFile", str(source), *target])
    source.unlink()


if __name__ == "__main__":
    main()
