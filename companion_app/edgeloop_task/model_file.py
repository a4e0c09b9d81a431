"""What has to be known of a model file before MNN may see it.

MNN verifies that a file is a flatbuffer of its schema, but follows the tensor numbers in it unchecked: a number that is out of
range ends the process. It computes with random weights where the file that holds them is cut off. It also hands inputs and
outputs over in alphabetical order; the file knows the model's own order.

"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeloop_shared.errors import ModelError
from edgeloop_task import schema
from edgeloop_task.flatbuffer import FlatbufferError, Table
from edgeloop_task.mapped_file import Bytes, mapped_file
from edgeloop_task.tensors import TensorInfo

_TYPES_END = 1024  # beyond all types of operators that MNN has, with room for new ones
_INPUT = next(number for number, name in schema.OPERATOR_TYPES.items() if name == "Input")
_INPUT_PARAMETER = next(number for number, fields in schema.PARAMETERS.items() if fields.table == "Input")
_CONTROL_FLOW = (schema.WHILE_PARAMETER, schema.IF_PARAMETER)
_FLOAT32 = 1
# Whose arrays MNN takes as numpy's; its bools are int32.
_DTYPES = {number: schema.DATA_TYPES[number] for number in (1, 2, 3, 4, 6, 9, 19)} | {10: "int32"}
_MAX_RANK = 8  # of MNN's tensors is 6; more room is harmless
_MAX_INDICES = 200_000  # of tensors that one operator takes or makes


@dataclass(frozen=True)
class ModelFile:
    """A model's inputs and the names of its outputs in its own order, and the names of its control flow operators.

    `outputs` is empty where the file names none. An open size in a shape is -1.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]
    control_flow: tuple[str, ...]
    weights_bytes: int


def read_model_file(path: Path) -> ModelFile:
    """Return what the model file at `path` says.

    Raises `NotFoundError` if there is no such file and `ModelError` if MNN could not survive it.
    """
    try:
        with mapped_file(path) as data:
            model = _read(data)
    except FlatbufferError as error:
        raise ModelError(f"{path} is not a whole MNN model: {error}.", hint=_hint(path)) from None
    _require_weights(path, model.weights_bytes)
    return model


def _require_weights(path: Path, size: int) -> None:
    weights = path.with_name(path.name + ".weight")
    found = weights.stat().st_size if weights.is_file() else 0
    if found < size:
        state = f"has only {found} of {size} bytes" if weights.is_file() else "is missing"
        raise ModelError(
            f"The weights of {path} stand in {weights.name} beside it, which {state}.",
            hint="Both files belong together: copy them together, or convert the model again.",
        )


def _hint(path: Path) -> str:
    """Return a guess at what the file is instead, from its first bytes and its name."""
    with path.open("rb") as file:
        head = file.read(512)
    if path.suffix.lower() == ".onnx" or b"onnx" in head or b"pytorch" in head:
        return "It looks like an ONNX model: make an MNN model of it with `edgeloop convert`."
    if not any(byte < 9 or byte == 127 for byte in head):
        return "It looks like a text file: is the path right?"
    return "It is truncated, damaged or another kind of file: copy or convert it again."


def _read(data: Bytes) -> ModelFile:
    net = Table.root(data)
    tensors = net.texts(schema.Net.TENSOR_NAME)
    outputs = tuple(name for name in net.texts(schema.Net.OUTPUT_NAME) if name in set(tensors))
    operators = [_operator(table, len(tensors)) for table in net.tables(schema.Net.OPLISTS)]
    if not operators:
        raise FlatbufferError("it holds no operators")
    for description in net.tables(schema.Net.EXTRA_TENSOR_DESCRIBE):
        _within((description.int32(schema.TensorDescribe.INDEX),), len(tensors), "a tensor's description")
    for graph in net.tables(schema.Net.SUBGRAPHS):
        names = len(graph.texts(schema.SubGraph.TENSORS))
        for field in (schema.SubGraph.INPUTS, schema.SubGraph.OUTPUTS):
            _within(graph.int32s(field, _MAX_INDICES), names, "a subgraph")
        operators += [replace(_operator(node, names), is_nested=True) for node in graph.tables(schema.SubGraph.NODES)]
    own = [operator for operator in operators if not operator.is_nested]
    return ModelFile(
        inputs=tuple(_input(operator, tensors) for operator in own if operator.type == _INPUT),
        outputs=outputs,
        control_flow=tuple(operator.name for operator in own if operator.parameter_type in _CONTROL_FLOW),
        weights_bytes=max(_external_bytes(operator) for operator in operators),
    )


@dataclass(frozen=True)
class _Operator:
    name: str
    type: int
    parameter_type: int
    parameter: Table | None
    produces: Sequence[int]
    is_nested: bool = False


def _operator(table: Table, tensors: int) -> _Operator:
    """Return an operator whose tensor numbers are all below `tensors`."""
    operator = _Operator(
        name=table.text(schema.Op.NAME),
        type=table.int32(schema.Op.TYPE),
        parameter_type=table.int8(schema.Op.MAIN_TYPE),
        parameter=table.table(schema.Op.MAIN),
        produces=table.int32s(schema.Op.OUTPUT_INDEXES, _MAX_INDICES),
    )
    what = f"the operator {operator.name!r}"
    _within(table.int32s(schema.Op.INPUT_INDEXES, _MAX_INDICES), tensors, what)
    _within(operator.produces, tensors, what)
    if (operator.parameter is None) != (operator.parameter_type == 0):
        raise FlatbufferError(f"{what} lacks its parameter")
    is_input = operator.parameter_type == _INPUT_PARAMETER
    if not 0 <= operator.type < _TYPES_END or is_input != (operator.type == _INPUT):
        raise FlatbufferError(f"{what} is of no known type")
    return operator


def _input(operator: _Operator, tensors: Sequence[str]) -> TensorInfo:
    described = operator.parameter
    if described is None or not operator.produces:
        raise FlatbufferError(f"the input {operator.name!r} has no description")
    shape = described.int32s(schema.Input.DIMS, 64)
    if len(shape) > _MAX_RANK or any(size < -1 for size in shape):
        raise FlatbufferError(f"the input {operator.name!r} has an impossible shape")
    dtype = _DTYPES.get(described.int32(schema.Input.DTYPE, _FLOAT32), "unknown")
    return TensorInfo(tensors[operator.produces[0]], tuple(shape), dtype)


def _external_bytes(operator: _Operator) -> int:
    fields = schema.PARAMETERS.get(operator.parameter_type)
    if fields is None or fields.external is None or operator.parameter is None:
        return 0
    place = operator.parameter.int64s(fields.external, 64)
    if any(number < 0 for number in place):
        raise FlatbufferError(f"the weights of {operator.name!r} stand nowhere")
    return sum(place)


def _within(indices: Sequence[int], count: int, what: str) -> None:
    if indices and (min(indices) < 0 or max(indices) >= count):
        raise FlatbufferError(f"{what} names a tensor that does not exist")
