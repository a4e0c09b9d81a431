"""What an ONNX model says about itself, read without the onnx package: nodes, inputs, outputs, external weights.

Only the few fields that error texts and `inspect` need. Format: protobuf's wire format
(https://protobuf.dev/programming-guides/encoding/) and `onnx/onnx.proto` in the repository onnx/onnx, whose field numbers
stand beside their names below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeloop_shared.errors import ModelError
from edgeloop_task.mapped_file import Bytes, mapped_file

MAX_NODES = 500_000
MAX_DEPTH = 8
MAX_TEXT_BYTES = 64 * 1024
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MODEL_IR_VERSION, MODEL_PRODUCER, MODEL_GRAPH, MODEL_OPSET = 1, 2, 7, 8
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 3, 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_NAME, TENSOR_EXTERNAL = 8, 13
ENTRY_KEY, ENTRY_VALUE = 1, 2
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_ELEMENT, TENSOR_SHAPE = 1, 2, 1, 1, 2
SHAPE_DIMENSION, DIMENSION_VALUE = 1, 1

ELEMENT_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}


class _WireError(ValueError):
    pass


Span = tuple[int, int]


@dataclass(frozen=True)
class OnnxNode:
    """A node: its operator type, domain ("" is ONNX's own), a name (its first output where it has none), and its tensors' names."""

    name: str
    type: str
    domain: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnnxValue:
    """An input or output; open dimensions are -1."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file holds; `external` are the distinct locations of weights outside of it."""

    path: Path
    nbytes: int
    producer: str
    opset: int
    nodes: tuple[OnnxNode, ...]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    external: tuple[str, ...]


def read_onnx(path: Path) -> OnnxFile:
    """Return what the ONNX file at `path` says.

    Raises `NotFoundError` if there is no such file, and `ModelError` if it is empty, cut off or not ONNX.
    """
    try:
        with mapped_file(path) as data:
            return _read(path, data)
    except _WireError as error:
        raise ModelError(
            f"{path} is not an ONNX model: {error}.",
            hint="It is truncated, damaged, or another kind of file; export the model again.",
        ) from error


def _read(path: Path, data: Bytes) -> OnnxFile:
    graph: Span | None = None
    producer, version, opset = "", 0, 0
    for number, value in _fields(data, (0, len(data))):
        if number == MODEL_GRAPH and isinstance(value, tuple):
            graph = value
        elif number == MODEL_IR_VERSION and isinstance(value, int):
            version = value
        elif number == MODEL_PRODUCER and isinstance(value, tuple):
            producer = _text(data, value)
        elif number == MODEL_OPSET and isinstance(value, tuple):
            domain, number_of_set = _opset(data, value)
            opset = opset if domain else number_of_set
    if graph is None:
        raise _WireError("it holds no graph")
    if not version:
        raise _WireError("it names no version of the format")
    nodes, external, known = [], dict[str, None](), set[str]()
    inputs, outputs = [], []
    for number, value in _graph_fields(data, graph, 0):
        if number == GRAPH_NODE:
            nodes.append(_node(data, value))
            if len(nodes) > MAX_NODES:
                raise _WireError(f"it holds more than {MAX_NODES} nodes")
        elif number == GRAPH_INITIALIZER:
            name, location = _tensor(data, value)
            known.add(name)
            if location is not None:
                external[location] = None
        elif number == GRAPH_INPUT:
            inputs.append(_value(data, value))
        elif number == GRAPH_OUTPUT:
            outputs.append(_value(data, value))
    if not nodes:
        raise _WireError("its graph holds no nodes")
    return OnnxFile(
        path=path,
        nbytes=len(data),
        producer=producer,
        opset=opset,
        nodes=tuple(nodes),
        inputs=tuple(value for value in inputs if value.name not in known),
        outputs=tuple(outputs),
        external=tuple(external),
    )


def _graph_fields(data: Bytes, graph: Span, depth: int) -> Iterator[tuple[int, Span]]:
    """Yield a graph's messages, and the nodes and weights of the graphs and tensors inside of its nodes."""
    if depth > MAX_DEPTH:
        raise _WireError(f"its graphs are nested more than {MAX_DEPTH} deep")
    for number, value in _fields(data, graph):
        if not isinstance(value, tuple):
            continue
        if depth == 0 or number in (GRAPH_NODE, GRAPH_INITIALIZER):
            yield number, value
        if number != GRAPH_NODE:
            continue
        for node_number, attribute in _fields(data, value):
            if node_number != NODE_ATTRIBUTE or not isinstance(attribute, tuple):
                continue
            for attribute_number, inner in _fields(data, attribute):
                if attribute_number == ATTRIBUTE_GRAPH and isinstance(inner, tuple):
                    yield from _graph_fields(data, inner, depth + 1)
                elif attribute_number == ATTRIBUTE_TENSOR and isinstance(inner, tuple):
                    yield GRAPH_INITIALIZER, inner


def _node(data: Bytes, span: Span) -> OnnxNode:
    texts: dict[int, list[str]] = {}
    for number, value in _fields(data, span):
        if number in (NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_TYPE, NODE_DOMAIN) and isinstance(value, tuple):
            texts.setdefault(number, []).append(_text(data, value))
    outputs = tuple(texts.get(NODE_OUTPUT, ()))
    name, kind, domain = (texts.get(number, [""])[0] for number in (NODE_NAME, NODE_TYPE, NODE_DOMAIN))
    return OnnxNode(name or (outputs or ("",))[0], kind, domain, tuple(texts.get(NODE_INPUT, ())), outputs)


def _opset(data: Bytes, span: Span) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in _fields(data, span):
        if number == OPSET_DOMAIN and isinstance(value, tuple):
            domain = _text(data, value)
        elif number == OPSET_VERSION and isinstance(value, int):
            version = value
    return ("" if domain == "ai.onnx" else domain), version


def _tensor(data: Bytes, span: Span) -> tuple[str, str | None]:
    name, location = "", None
    for number, value in _fields(data, span):
        if number == TENSOR_NAME and isinstance(value, tuple):
            name = _text(data, value)
        elif number == TENSOR_EXTERNAL and isinstance(value, tuple):
            entry = {key: _text(data, text) for key, text in _fields(data, value) if isinstance(text, tuple)}
            if entry.get(ENTRY_KEY) == "location":
                location = entry.get(ENTRY_VALUE, "")
    return name, location


def _value(data: Bytes, span: Span) -> OnnxValue:
    name, shape, dtype = "", list[int](), "unknown"
    for number, value in _fields(data, span):
        if number == VALUE_NAME and isinstance(value, tuple):
            name = _text(data, value)
        elif number == VALUE_TYPE and isinstance(value, tuple):
            for part, inner in _inside(data, value, TYPE_TENSOR):
                if part == TENSOR_ELEMENT and isinstance(inner, int):
                    dtype = ELEMENT_TYPES.get(inner, f"type {inner}")
                elif part == TENSOR_SHAPE and isinstance(inner, tuple):
                    shape = [_dimension(data, at) for kind, at in _fields(data, inner) if kind == SHAPE_DIMENSION]
    return OnnxValue(name, tuple(shape), dtype)


def _inside(data: Bytes, span: Span, wanted: int) -> Iterator[tuple[int, int | Span]]:
    for number, value in _fields(data, span):
        if number == wanted and isinstance(value, tuple):
            yield from _fields(data, value)


def _dimension(data: Bytes, value: int | Span) -> int:
    if isinstance(value, tuple):
        for number, size in _fields(data, value):
            if number == DIMENSION_VALUE and isinstance(size, int) and size < 1 << 62:
                return size
    return -1


def _text(data: Bytes, span: Span) -> str:
    if span[1] - span[0] > MAX_TEXT_BYTES:
        raise _WireError(f"it holds a name of {span[1] - span[0]} bytes")
    return data[span[0] : span[1]].decode("utf-8", "replace")


def _fields(data: Bytes, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield the fields of the message in `span`: a number and an integer, or the span of what it contains."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield number, value
        elif kind == BYTES:
            size, at = _varint(data, at, end)
            if size > end - at:
                raise _WireError(f"{size - (end - at)} bytes are missing from byte {at} on")
            yield number, (at, at + size)
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise _WireError(f"byte {at} starts no field")
        if not number or at > end:
            raise _WireError(f"the field that ends at byte {at} is cut off or has no number")


def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _WireError(f"it ends at byte {end} in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _WireError(f"a number at byte {at} does not end")
