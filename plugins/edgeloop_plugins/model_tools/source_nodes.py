"""From an operator of MNN back to the node of the ONNX model that it was converted from.

How MNN calls its operators stands in `edgeloop_shared.conversions`. An activation that was fused into the operator before it
leaves no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeloop_plugins.model_tools.onnx_file import OnnxNode, read_onnx
from edgeloop_shared.conversions import names_of, read_conversion

ACTIVATIONS = frozenset({"Relu", "Clip"})  # what MNN's converter fuses into a convolution


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
        node = next((self._by_name[name] for name in names_of(operator) if name in self._by_name), None)
        return None if node is None else SourceNode(node.name, node.type, tuple(self._fused(node)))

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


def recorded_nodes(model: Path) -> SourceNodes | None:
    """Return the nodes that the record of a model's conversion names; None where there is none."""
    conversion = read_conversion(model)
    if conversion is None:
        return None
    return SourceNodes(
        tuple(OnnxNode(node.name, node.type, "", outputs=(name,)) for name, node in conversion.nodes.items())
    )
