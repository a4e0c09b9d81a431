"""What has to be known of a model file before MNN may see it.

MNN verifies that a file is a flatbuffer of its schema, but follows the tensor numbers in it unchecked: a number that is out of
range ends the process. It computes with random weights where the file that holds them is cut off. It also hands inputs and
outputs over in alphabetical order; the file knows the model's own order.

Source of the field numbers: MNN's schema (`schema/default/MNN.fbs`), MNN 3.6.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from edgeloop_shared.errors import ModelError, NotFoundError
from edgeloop_task.tensors import TensorInfo

_Bytes: TypeAlias = "mmap.mmap | bytes"

# Fields of the root table, of a tensor's description, of a subgraph and of an operator.
_NET_DESCRIPTIONS, _NET_OPERATORS, _NET_OUTPUTS, _NET_TENSORS, _NET_SUBGRAPHS = 1, 3, 4, 7, 10
_DESCRIPTION_TENSOR = 1
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_TENSORS, _SUBGRAPH_NODES = 1, 2, 3, 4
_OP_INPUTS, _OP_PARAMETER_TYPE, _OP_PARAMETER, _OP_NAME, _OP_OUTPUTS, _OP_TYPE = range(6)

_INPUT = 34  # a type of operators
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
    except (struct.error, _DamagedError) as error:
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


class _DamagedError(Exception):
    """The bytes contradict themselves; the text says how."""


class _Table:
    """A flatbuffer table whose every position is checked before it is read."""

    def __init__(self, data: _Bytes, position: int, budget: list[int]) -> None:
        self._data = data
        self._position = position
        self._budget = budget  # bytes of vectors that may still be read: no honest file stores one twice
        vtable = position - _number("<i", data, position)
        size = _number("<H", data, vtable)
        if size < 4 or size % 2:
            raise _DamagedError(f"the table at byte {position} has no layout")
        self._spend(size)
        _require(data, vtable, size)
        self._fields = struct.unpack_from(f"<{size // 2 - 2}H", data, vtable + 4)

    def integer(self, field: int, default: int = 0) -> int:
        """Return a 32-bit integer."""
        at = self._at(field)
        return _number("<i", self._data, at) if at else default

    def byte(self, field: int) -> int:
        """Return an 8-bit number."""
        at = self._at(field)
        return _number("<B", self._data, at) if at else 0

    def text(self, field: int) -> str:
        """Return a string; empty where there is none."""
        at = self._target(field)
        return self._text(at) if at else ""

    def texts(self, field: int) -> list[str]:
        """Return the strings of a vector."""
        return [self._text(at) for at in self._elements(field)]

    def integers(self, field: int) -> array[int]:
        """Return the 32-bit integers of a vector."""
        at = self._target(field)
        return self._integers(at, "i") if at else array("i")

    def long_integers(self, field: int) -> array[int]:
        """Return the 64-bit integers of a vector."""
        at = self._target(field)
        return self._integers(at, "q") if at else array("q")

    def tables(self, field: int) -> Iterator[_Table]:
        """Yield the tables of a vector."""
        for at in self._elements(field):
            yield _Table(self._data, at, self._budget)

    def table(self, field: int) -> _Table | None:
        """Return a table, or None where there is none."""
        at = self._target(field)
        return _Table(self._data, at, self._budget) if at else None

    def _elements(self, field: int) -> Iterator[int]:
        at = self._target(field)
        if at:
            for index, offset in enumerate(self._integers(at, "I")):
                yield at + 4 + 4 * index + offset

    def _integers(self, at: int, code: str) -> array[int]:
        count = _number("<I", self._data, at)
        size = count * struct.calcsize(f"<{code}")
        self._spend(size)
        _require(self._data, at + 4, size)
        return array(code, struct.unpack_from(f"<{count}{code}", self._data, at + 4))

    def _text(self, at: int) -> str:
        size = _number("<I", self._data, at)
        self._spend(size)
        _require(self._data, at + 4, size)
        return bytes(self._data[at + 4 : at + 4 + size]).decode("utf-8", "replace")

    def _at(self, field: int) -> int:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._position + offset if offset else 0

    def _target(self, field: int) -> int:
        at = self._at(field)
        return at + _number("<I", self._data, at) if at else 0

    def _spend(self, size: int) -> None:
        self._budget[0] -= size
        if self._budget[0] < 0:
            raise _DamagedError("its parts overlap")


def _number(code: str, data: _Bytes, at: int) -> int:
    _require(data, at, struct.calcsize(code))
    return int(struct.unpack_from(code, data, at)[0])


def _require(data: _Bytes, at: int, size: int) -> None:
    if at < 0 or at + size > len(data):
        raise _DamagedError(f"{size} bytes at byte {at} are missing from its {len(data)}")


def _read(data: _Bytes) -> ModelFile:
    # Layouts of tables are shared between tables, so honest files need more than their own length.
    net = _Table(data, _number("<I", data, 0), [16 * len(data) + 4096])
    tensors = net.texts(_NET_TENSORS)
    outputs = tuple(name for name in net.texts(_NET_OUTPUTS) if name in set(tensors))
    operators = [_operator(table, len(tensors)) for table in net.tables(_NET_OPERATORS)]
    if not operators:
        raise _DamagedError("it holds no operators")
    for description in net.tables(_NET_DESCRIPTIONS):
        _within((description.integer(_DESCRIPTION_TENSOR),), len(tensors), "a tensor's description")
    for graph in net.tables(_NET_SUBGRAPHS):
        names = len(graph.texts(_SUBGRAPH_TENSORS))
        _within((*graph.integers(_SUBGRAPH_INPUTS), *graph.integers(_SUBGRAPH_OUTPUTS)), names, "a subgraph")
        for operator in graph.tables(_SUBGRAPH_NODES):
            operators.append(replace(_operator(operator, names), is_nested=True))
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
    parameter: _Table | None
    produces: Sequence[int]
    is_nested: bool = False


def _operator(table: _Table, tensors: int) -> _Operator:
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
        raise _DamagedError(f"{what} lacks its parameter")
    return operator


def _input(operator: _Operator, tensors: Sequence[str]) -> TensorInfo:
    described = operator.parameter
    if described is None or operator.parameter_type != _INPUT_PARAMETER or not operator.produces:
        raise _DamagedError(f"the input {operator.name!r} has no description")
    shape = described.integers(_INPUT_SHAPE)
    if len(shape) > _MAX_RANK or any(size < -1 for size in shape):
        raise _DamagedError(f"the input {operator.name!r} has an impossible shape")
    dtype = _DTYPES.get(described.integer(_INPUT_DTYPE, _FLOAT32), "unknown")
    return TensorInfo(tensors[operator.produces[0]], tuple(shape), dtype)


def _external_bytes(operator: _Operator) -> int:
    field = _EXTERNAL.get(operator.parameter_type)
    if field is None or operator.parameter is None:
        return 0
    place = operator.parameter.long_integers(field)
    if any(number < 0 for number in place):
        raise _DamagedError(f"the weights of {operator.name!r} stand nowhere")
    return sum(place)


def _within(indices: Sequence[int], count: int, what: str) -> None:
    if indices and (min(indices) < 0 or max(indices) >= count):
        raise _DamagedError(f"{what} names a tensor that does not exist")
