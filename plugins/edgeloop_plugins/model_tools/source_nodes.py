"""From an operator of MNN back to the node of the ONNX model that it was converted from.

MNN's converter calls an operator like the ONNX tensor that it makes; MNN itself, when it runs a model, adds operators that move
data and calls them like the operator that needs them, with `_raster_0` behind the name, and the converter adds `__before_tr` or
`__after_tr` where it changes a layout. An activation that was fused into the operator before it leaves no name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgeloop_plugins.model_tools.onnx_file import OnnxNode, read_onnx

ACTIVATIONS = frozenset({"Relu", "Clip"})  # what MNN's converter fuses into a convolution
_ADDED = re.compile(r"(_raster_\d+|__(before|after)_tr\w*|__tr\w*)$")


@dataclass(frozen=True)
class SourceNode:
    """A node: its name and its type, and the activations behind it that nothing else reads."""

    name: str
    type: str
    fused: tuple[OnnxNode, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


class SourceNodes:
    """The nodes of an ONNX model by the names that MNN's operators may have."""

    def __init__(self, nodes: tuple[OnnxNode, ...]) -> None:
        self._by_name: dict[str, OnnxNode] = {}
        self._readers: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in (node.name, *node.outputs):
                self._by_name.setdefault(name, node)
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    def find(self, operator: str) -> SourceNode | None:
        """Return the node of an operator; None where its name did not survive."""
        name = operator
        while name not in self._by_name:
            shorter = _ADDED.sub("", name)
            if shorter == name:
                return None
            name = shorter
        node = self._by_name[name]
        return SourceNode(node.name, node.type, tuple(self._fused(node)))

    def _fused(self, node: OnnxNode) -> list[OnnxNode]:
        found: list[OnnxNode] = []
        while len(node.outputs) == 1 and len(readers := self._readers.get(node.outputs[0], [])) == 1:
            (node,) = readers
            if node.type not in ACTIVATIONS:
                break
            found.append(node)
        return found

    def tensors(self, operator: str) -> tuple[str, ...]:
        """Return the ONNX tensors that an operator of this name may compute, the fused activations' included."""
        source = self.find(operator)
        if source is None:
            return ()
        node = self._by_name[source.name]
        return (*node.outputs[:1], *(fused.outputs[0] for fused in source.fused if fused.outputs))


def source_nodes(path: Path) -> SourceNodes:
    """Return the nodes of the ONNX model at `path`. Raises `NotFoundError` and `ModelError`."""
    return SourceNodes(read_onnx(path).nodes)
