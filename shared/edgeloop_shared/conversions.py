"""The record of a conversion: from which nodes of the source model the operators of a model come.

It lies beside the model, as `MODEL.mnn.nodes.json`, and travels with it: wherever an operator is named, so is its node. MNN's
converter calls an operator like the tensor that it makes; MNN itself, when it runs a model, adds operators that move data and
calls them like the operator that needs them, with `_raster_0` behind the name, and the converter adds `__before_tr` or
`__after_tr` where it changes a layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import EdgeloopError

SUFFIX = ".nodes.json"
MAX_RECORD_BYTES = 16 * 1024**2
_MAX_NODES = 100_000
_ADDED = re.compile(r"(_raster_\d+|__(before|after)_tr\w*|__tr\w*)$")


@dataclass(frozen=True)
class Node:
    """A node of the source model."""

    name: str = field(metadata={"max_length": 512})
    type: str = field(metadata={"max_length": 256})

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True)
class Conversion:
    """Where a model of `model_bytes` came from: the file `source`, and its nodes by the names of the model's operators."""

    source: str = field(metadata={"max_length": 1024})
    model_bytes: int = field(metadata={"ge": 0})
    nodes: Mapping[str, Node] = field(metadata={"max_length": _MAX_NODES})

    def find(self, operator: str) -> Node | None:
        """Return the node of an operator; None where its name did not survive."""
        return next((self.nodes[name] for name in names_of(operator) if name in self.nodes), None)


def names_of(operator: str) -> Iterator[str]:
    """Yield an operator's name, then what is left of it without what MNN and its converter have added, piece by piece."""
    while True:
        yield operator
        shorter = _ADDED.sub("", operator)
        if shorter == operator:
            return
        operator = shorter


def record_path(model: Path) -> Path:
    """Return where the record of a model's conversion lies."""
    return model.with_name(model.name + SUFFIX)


def write_conversion(model: Path, source: str, nodes: Mapping[str, Node]) -> None:
    """Put the record beside a model; one with more than `MAX_RECORD_BYTES` or without nodes is left out. Raises `OSError`."""
    record_path(model).unlink(missing_ok=True)
    data = encode_json(Conversion(source, model.stat().st_size, nodes))
    if nodes and len(nodes) <= _MAX_NODES and len(data) <= MAX_RECORD_BYTES:
        record_path(model).write_bytes(data + b"\n")


def read_conversion(model: Path) -> Conversion | None:
    """Return the record beside a model; None where there is none, or it is not of this model, or cannot be read."""
    try:
        with record_path(model).open("rb") as file:
            data = file.read(MAX_RECORD_BYTES + 2)
        found = decode_json(Conversion, data, max_bytes=MAX_RECORD_BYTES + 1)
        return found if found.model_bytes == model.stat().st_size else None
    except (OSError, EdgeloopError):
        return None
