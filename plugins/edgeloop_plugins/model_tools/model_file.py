"""An MNN model file as its bytes tell it, read without MNN, which crashes on files that are not models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeloop_plugins.model_tools.stored_weights import StoredWeights, stored_weights
from edgeloop_shared.errors import ModelError
from edgeloop_task import schema
from edgeloop_task.flatbuffer import FlatbufferError, Table
from edgeloop_task.mapped_file import Bytes, mapped_file

MAX_OPERATORS = 200_000


@dataclass(frozen=True)
class Operator:
    """An operator of the model; `graph` names the subgraph that it belongs to, and is empty for the main graph."""

    name: str
    type: str
    parameter: str
    weights: StoredWeights | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    graph: str = ""

    @property
    def is_convolution(self) -> bool:
        """Whether MNN's converter can quantise this operator's weights."""
        return self.parameter == "Convolution2D"


@dataclass(frozen=True)
class ModelInput:
    """An input: its shape with -1 where it is open, its dtype and MNN's layout."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds. `weights_file` is the file beside it that holds external weights, where there are any."""

    path: Path
    nbytes: int
    operators: tuple[Operator, ...]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    version: str
    producer: str
    source: str
    weights_file: Path | None

    @property
    def weighted(self) -> tuple[Operator, ...]:
        """The operators that hold weights."""
        return tuple(operator for operator in self.operators if operator.weights)

    def weights_by_bits(self) -> dict[int | None, int]:
        """Return how many weights are stored with how many bits."""
        counts: Counter[int | None] = Counter()
        for operator in self.operators:
            if operator.weights:
                counts[operator.weights.bits] += operator.weights.count
        return dict(counts)


def read_model(path: Path) -> ModelFile:
    """Return what the model file at `path` holds.

    Raises `NotFoundError` if there is no such file, and `ModelError` if it is empty or its bytes are not those of an MNN model.
    """
    try:
        with mapped_file(path) as data:
            return _read(path, data)
    except FlatbufferError as error:
        raise ModelError(f"{path} is not an MNN model: {error}.", hint=_hint(path)) from error


def _hint(path: Path) -> str:
    if path.suffix.lower() == ".onnx":
        return f"It looks like an ONNX model: convert it first with `edgeloop convert {path.name}`."
    return "It is truncated, damaged, or another kind of file; export or convert the model again."


def _read(path: Path, data: Bytes) -> ModelFile:
    net = Table.root(data)
    operators = tuple(_operators(net))
    if not operators:
        raise FlatbufferError("it holds no operators")
    extra = net.table(schema.Net.EXTRA_INFO)
    external = any(operator.weights and operator.weights.external for operator in operators)
    return ModelFile(
        path=path,
        nbytes=len(data),
        operators=operators,
        inputs=tuple(_inputs(net)),
        outputs=net.texts(schema.Net.OUTPUT_NAME) or _unconsumed(operators, net.texts(schema.Net.TENSOR_NAME)),
        version=extra.text(schema.ExtraInfo.VERSION) if extra else "",
        producer=net.text(schema.Net.BIZ_CODE),
        source=schema.SOURCE_TYPES.get(net.int8(schema.Net.SOURCE_TYPE), "unknown"),
        weights_file=path.with_name(path.name + ".weight") if external else None,
    )


def _operators(net: Table) -> Iterator[Operator]:
    count = 0
    graphs = [("", net, int(schema.Net.OPLISTS))]
    subgraphs = net.tables(schema.Net.SUBGRAPHS)
    graphs += [(graph.text(schema.SubGraph.NAME), graph, int(schema.SubGraph.NODES)) for graph in subgraphs]
    for name, table, field in graphs:
        for op in table.tables(field):
            count += 1
            if count > MAX_OPERATORS:
                raise FlatbufferError(f"it holds more than {MAX_OPERATORS} operators")
            yield _operator(op, name)


def _operator(op: Table, graph: str) -> Operator:
    number = op.int32(schema.Op.TYPE)
    kind = schema.OPERATOR_TYPES.get(number, f"type {number}")
    layout = schema.PARAMETERS.get(op.int8(schema.Op.MAIN_TYPE))
    main = op.table(schema.Op.MAIN)
    if kind == "Extra" and main:
        kind = f"Extra ({main.text(schema.Extra.ENGINE)} {main.text(schema.Extra.TYPE)})"
    return Operator(
        name=op.text(schema.Op.NAME),
        type=kind,
        parameter=layout.table if layout else "",
        weights=stored_weights(main, layout) if main and layout else None,
        inputs=op.int32s(schema.Op.INPUT_INDEXES, MAX_OPERATORS),
        outputs=op.int32s(schema.Op.OUTPUT_INDEXES, MAX_OPERATORS),
        graph=graph,
    )


def _inputs(net: Table) -> Iterator[ModelInput]:
    for op in net.tables(schema.Net.OPLISTS):
        if schema.OPERATOR_TYPES.get(op.int32(schema.Op.TYPE)) != "Input":
            continue
        main = op.table(schema.Op.MAIN)
        if main is None:
            raise FlatbufferError("an input has no description")
        dtype, layout = main.int32(schema.Input.DTYPE, 1), main.int8(schema.Input.DFORMAT, 2)
        yield ModelInput(
            name=op.text(schema.Op.NAME),
            shape=main.int32s(schema.Input.DIMS, 64),
            dtype=schema.DATA_TYPES.get(dtype, f"type {dtype}"),
            layout=schema.DATA_FORMATS.get(layout, "unknown"),
        )


def _unconsumed(operators: tuple[Operator, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    main = [operator for operator in operators if not operator.graph]
    consumed = {index for operator in main for index in operator.inputs}
    produced = [index for operator in main for index in operator.outputs if operator.type != "Input"]
    return tuple(names[index] for index in produced if index not in consumed and 0 <= index < len(names))
