"""What has to be known of a model file before MNN may see it.

MNN verifies that a file is a flatbuffer of its schema, but follows the tensor numbers in it unchecked: a number that is out of
range ends the process. It computes with random weights where the file that holds them is cut off. It also hands inputs and
outputs over in alphabetical order; the file knows the model's own order.

Source of the field numbers: MNN's schema (`schema/default/MNN.fbs`), MNN 3.6.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeloop_shared.errors import ModelError, NotFoundError
from edgeloop_task.flatbuffer import Bytes, DamagedError, Table
from edgeloop_task.tensors import TensorInfo

# Fields of the root table, of a tensor's description, of a subgraph and of an operator.
_NET_DESCRIPTIONS, _NET_OPERATORS, _NET_OUTPUTS, _NET_TENSORS, _NET_SUBGRAPHS = 1, 3, 4, 7, 10
_DESCRIPTION_TENSOR = 1
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_TENSORS, _SUBGRAPH_NODES = 1, 2, 3, 4
_OP_INPUTS, _OP_PARAMETER_TYPE, _OP_PARAMETER, _OP_NAME, _OP_OUTPUTS, _OP_TYPE = range(6)

_INPUT = 34  # a type of operators
_TYPES_END = 1024  # beyond all types that MNN has, with room for new ones
_INPUT_PARAMETER, _WHILE_PARAMETER, _IF_PARAMETER = 21, 85, 86  # types of parameters
_INPUT_SHAPE, _INPUT_DTYPE = range(2)
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 6: "int8", 9: "int64", 10: "int32", 19: "float16"}
_FLOAT32 = 1
_MAX_RANK = 8  # of MNN's tensors is 6; more room is harmless

# Parameters that may keep their numbers in a file beside the model, and the field that says where: a vector of
# 64-bit integers, first the offset, then sizes, in bytes.
_EXTERNAL = {7: 9, 9: 6, 58: 3, 80: 3, 88: 5, 95: 6}


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
    if not path.is_file():
        what = "is a folder, not a model" if path.is_dir() else "does not exist"
        raise NotFoundError(f"The model {path} {what}.", hint="Give the path of an .mnn file.")
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"The model {path} is an empty file.", hint="Copy or convert it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                model = _read(data)
    except OSError as error:
        raise NotFoundError(f"The model {path} cannot be read: {error.strerror}.") from None
    except DamagedError as error:
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
    tensors = net.texts(_NET_TENSORS)
    outputs = tuple(name for name in net.texts(_NET_OUTPUTS) if name in set(tensors))
    operators = [_operator(table, len(tensors)) for table in net.tables(_NET_OPERATORS)]
    if not operators:
        raise DamagedError("it holds no operators")
    for description in net.tables(_NET_DESCRIPTIONS):
        _within((description.integer(_DESCRIPTION_TENSOR),), len(tensors), "a tensor's description")
    for graph in net.tables(_NET_SUBGRAPHS):
        names = len(graph.texts(_SUBGRAPH_TENSORS))
        _within((*graph.integers(_SUBGRAPH_INPUTS), *graph.integers(_SUBGRAPH_OUTPUTS)), names, "a subgraph")
        operators += [replace(_operator(node, names), is_nested=True) for node in graph.tables(_SUBGRAPH_NODES)]
    own = [operator for operator in operators if not operator.is_nested]
    return ModelFile(
        inputs=tuple(_input(operator, tensors) for operator in own if operator.type == _INPUT),
        outputs=outputs,
        control_flow=tuple(
            operator.name for operator in own if operator.parameter_type in (_WHILE_PARAMETER, _IF_PARAMETER)
        ),
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
        name=table.text(_OP_NAME),
        type=table.integer(_OP_TYPE),
        parameter_type=table.byte(_OP_PARAMETER_TYPE),
        parameter=table.table(_OP_PARAMETER),
        produces=table.integers(_OP_OUTPUTS),
    )
    what = f"the operator {operator.name!r}"
    _within(table.integers(_OP_INPUTS), tensors, what)
    _within(operator.produces, tensors, what)
    if (operator.parameter is None) != (operator.parameter_type == 0):
        raise DamagedError(f"{what} lacks its parameter")
    is_input = operator.parameter_type == _INPUT_PARAMETER
    if not 0 <= operator.type < _TYPES_END or is_input != (operator.type == _INPUT):
        raise DamagedError(f"{what} is of no known type")
    return operator


def _input(operator: _Operator, tensors: Sequence[str]) -> TensorInfo:
    described = operator.parameter
    if described is None or not operator.produces:
        raise DamagedError(f"the input {operator.name!r} has no description")
    shape = described.integers(_INPUT_SHAPE)
    if len(shape) > _MAX_RANK or any(size < -1 for size in shape):
        raise DamagedError(f"the input {operator.name!r} has an impossible shape")
    dtype = _DTYPES.get(described.integer(_INPUT_DTYPE, _FLOAT32), "unknown")
    return TensorInfo(tensors[operator.produces[0]], tuple(shape), dtype)


def _external_bytes(operator: _Operator) -> int:
    field = _EXTERNAL.get(operator.parameter_type)
    if field is None or operator.parameter is None:
        return 0
    place = operator.parameter.long_integers(field)
    if any(number < 0 for number in place):
        raise DamagedError(f"the weights of {operator.name!r} stand nowhere")
    return sum(place)


def _within(indices: Sequence[int], count: int, what: str) -> None:
    if indices and (min(indices) < 0 or max(indices) >= count):
        raise DamagedError(f"{what} names a tensor that does not exist")
