from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeAlias

import flatbuffers
import pytest

from edgeloop_plugins.model_tools import native_tools
from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_shared.errors import ModelError
from edgeloop_task import schema
from edgeloop_task.schema import (
    Attribute,
    Blob,
    Convolution2D,
    Convolution2DCommon,
    Extra,
    ExtraInfo,
    IDSTQuan,
    InnerProduct,
    Input,
    LoopParam,
    Net,
    Op,
    QuantizedFloatParam,
    RegionCommand,
    SubGraph,
    TensorDescribe,
)


@dataclass(frozen=True)
class Byte:
    """A one-byte field; `name` is what MNN calls its value."""

    value: int
    name: object


@dataclass(frozen=True)
class Enum:
    """A four-byte enum; `name` is what MNN calls its value."""

    value: int
    name: object


@dataclass(frozen=True)
class Longs:
    """A vector of 64-bit integers."""

    values: list[int]


Value: TypeAlias = "int | float | str | bytes | Byte | Enum | Longs | list[Any] | dict[Any, Any]"


def encode(root: Mapping[Any, Any]) -> bytes:
    """Write a flatbuffer: tables are dictionaries from field id to value."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root))
    return bytes(builder.Output())


def _table(builder: Any, fields: Mapping[Any, Value]) -> int:
    offsets = {number: _offset(builder, value) for number, value in fields.items()}
    builder.StartObject(max(fields, default=0) + 1)
    for number, value in fields.items():
        match value:
            case Byte():
                builder.PrependInt8Slot(number, value.value, -128)
            case Enum():
                builder.PrependInt32Slot(number, value.value, -(2**31))
            case int():
                builder.PrependInt32Slot(number, value, -(2**31))
            case _:
                builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
    return int(builder.EndObject())


def _offset(builder: Any, value: Value) -> int:
    match value:
        case str():
            return int(builder.CreateString(value))
        case bytes():
            return int(builder.CreateByteVector(value))
        case dict():
            return _table(builder, value)
        case Longs():
            return _vector(builder, 8, value.values, builder.PrependInt64)
        case [dict(), *_]:
            return _vector(builder, 4, [_table(builder, item) for item in value], builder.PrependUOffsetTRelative)
        case [str(), *_]:
            return _vector(builder, 4, [builder.CreateString(item) for item in value], builder.PrependUOffsetTRelative)
        case [float(), *_]:
            return _vector(builder, 4, value, builder.PrependFloat32)
        case list():
            return _vector(builder, 4, value, builder.PrependInt32)
        case _:
            return 0


def _vector(builder: Any, size: int, items: list[Any], prepend: Any) -> int:
    builder.StartVector(size, len(items), size)
    for item in reversed(items):
        prepend(item)
    return int(builder.EndVector())


def as_mnn_names_it(data: bytes, folder: Path) -> dict[str, Any]:
    """Return MNN's own JSON dump of a model."""
    (folder / "model.mnn").write_bytes(data)
    native_tools.run_converter(
        ["-f", "MNN", "--modelFile", str(folder / "model.mnn"), "--JsonFile", str(folder / "model.json")]
    )
    dumped: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return dumped


def mnn_name(number: Any) -> str:
    words = number.name.lower().split("_")
    return "main_type" if number is Op.MAIN_TYPE else words[0] + "".join(word.capitalize() for word in words[1:])


def assert_same(dumped: Any, value: Value, where: str) -> None:
    match value:
        case Byte() | Enum():
            assert dumped == value.name, where
        case Longs():
            assert dumped == value.values, where
        case bytes():
            assert dumped == list(value), where
        case dict():
            for number, inner in value.items():
                name = mnn_name(number) if isinstance(number, IntEnum) else str(number)
                assert name in dumped, f"{where}.{name} is not where the schema module expects it"
                assert_same(dumped[name], inner, f"{where}.{name}")
        case list():
            assert len(dumped) == len(value), where
            for index, (theirs, ours) in enumerate(zip(dumped, value, strict=True)):
                assert_same(theirs, ours, f"{where}[{index}]")
        case _:
            assert dumped == value, where


def op(parameter: int, main: dict[Any, Any], number: int = 11, name: str = "operator") -> dict[Any, Any]:
    table = schema.PARAMETERS[parameter].table
    return {
        Op.INPUT_INDEXES: [3],
        Op.MAIN_TYPE: Byte(parameter, table),
        Op.MAIN: main,
        Op.NAME: name,
        Op.OUTPUT_INDEXES: [4],
        Op.TYPE: Enum(number, schema.OPERATOR_TYPES[number]),
    }


BLOB: dict[Any, Any] = {
    Blob.DIMS: [2, 3],
    Blob.DATA_TYPE: Enum(19, "DT_HALF"),
    Blob.UINT8S: b"\1\2",
    Blob.INT8S: b"\3",
    Blob.INT32S: [4, 5],
    Blob.INT64S: Longs([6]),
    Blob.FLOAT32S: [7.5],
    Blob.EXTERNAL: Longs([8, 9]),
}
QUANTISED: dict[Any, Any] = {
    IDSTQuan.BUFFER: b"\5\6",
    IDSTQuan.ALPHA: [0.5],
    IDSTQuan.TYPE: 4,
    IDSTQuan.A_MAX_OR_BITS: 5,
    IDSTQuan.READ_TYPE: 6,
    IDSTQuan.SHAPE_INT32: Byte(1, True),
}
CONVOLUTION: dict[Any, Any] = {
    Convolution2D.COMMON: {
        Convolution2DCommon.KERNEL_X: 3,
        Convolution2DCommon.KERNEL_Y: 5,
        Convolution2DCommon.GROUP: 2,
        Convolution2DCommon.OUTPUT_COUNT: 8,
        Convolution2DCommon.INPUT_COUNT: 6,
    },
    Convolution2D.WEIGHT: [0.25, 0.75],
    Convolution2D.BIAS: [1.5],
    Convolution2D.QUAN_PARAMETER: QUANTISED,
    Convolution2D.SYMMETRIC_QUAN: {
        QuantizedFloatParam.WEIGHT: b"\7",
        QuantizedFloatParam.BIAS: [9],
        QuantizedFloatParam.SCALE: [2.5],
        QuantizedFloatParam.NBITS: 6,
    },
    Convolution2D.EXTERNAL: Longs([10, 11, 12]),
}
CONNECTED: dict[Any, Any] = {
    InnerProduct.WEIGHT: [0.125],
    InnerProduct.BIAS: [0.5],
    InnerProduct.QUAN_PARAMETER: QUANTISED,
}
EVERY_FIELD: dict[Any, Any] = {
    Net.BIZ_CODE: "edgeloop",
    Net.EXTRA_TENSOR_DESCRIBE: [{TensorDescribe.INDEX: 1}],
    Net.EXTRA_INFO: {ExtraInfo.NAME: "somebody", ExtraInfo.VERSION: "3.6.1"},
    Net.OPLISTS: [
        op(21, {Input.DIMS: [1, 3], Input.DTYPE: Enum(3, "DT_INT32"), Input.DFORMAT: Byte(1, "NHWC")}, number=34),
        op(7, BLOB),
        op(9, CONVOLUTION, number=12),
        op(20, CONNECTED, number=33),
        op(78, {Extra.TYPE: "Odd", Extra.ENGINE: "ONNX", Extra.ATTR: [{Attribute.TENSOR: BLOB}]}, number=512),
        op(92, {LoopParam.COMMANDS: [{RegionCommand.OP: op(7, BLOB)}]}),
    ],
    Net.OUTPUT_NAME: ["scores"],
    Net.SOURCE_TYPE: Byte(3, "ONNX"),
    Net.TENSOR_NAME: ["a", "b"],
    Net.SUBGRAPHS: [
        {
            SubGraph.NAME: "body",
            SubGraph.INPUTS: [1],
            SubGraph.OUTPUTS: [1],
            SubGraph.TENSORS: ["c", "d"],
            SubGraph.NODES: [op(7, BLOB)],
        }
    ],
}


def test_mnn_itself_names_every_field_as_the_schema_module_does(tmp_path: Path) -> None:
    assert_same(as_mnn_names_it(encode(EVERY_FIELD), tmp_path), EVERY_FIELD, "net")


def test_mnn_itself_names_every_weight_as_the_schema_module_does(tmp_path: Path) -> None:
    plain = {number: layout for number, layout in schema.PARAMETERS.items() if layout.floats or layout.blobs}
    operators: list[dict[Any, Any]] = []
    named: list[dict[str, Any]] = []
    for number, layout in plain.items():
        external = {} if layout.external is None else {layout.external: Longs([1, 2])}
        fields = {field: [float(field)] for field, _ in layout.floats} | {
            field: {Blob.DIMS: [field]} for field, _ in layout.blobs
        }
        operators.append(op(number, fields | external, name=layout.table))
        named.append(
            {name: [float(field)] for field, name in layout.floats}
            | {name: {"dims": [field]} for field, name in layout.blobs}
            | ({"external": [1, 2]} if external else {})
        )

    dumped = as_mnn_names_it(encode({Net.OPLISTS: operators, Net.TENSOR_NAME: ["a"]}), tmp_path)["oplists"]

    assert len(dumped) == len(plain) >= 10
    for theirs, layout, ours in zip(dumped, plain.values(), named, strict=True):
        assert theirs["main_type"] == layout.table
        for name, value in ours.items():
            found = theirs["main"][name]
            assert (found if isinstance(value, list) else {"dims": found["dims"]}) == value, f"{layout.table}.{name}"


def test_mnn_itself_names_every_type_of_operator_as_the_schema_module_does(tmp_path: Path) -> None:
    model = {Net.OPLISTS: [{Op.NAME: str(number), Op.TYPE: number} for number in range(700)], Net.TENSOR_NAME: ["a"]}

    dumped = as_mnn_names_it(encode(model), tmp_path)["oplists"]

    theirs = {int(entry["name"]): entry["type"] for entry in dumped if isinstance(entry["type"], str)}
    assert theirs == schema.OPERATOR_TYPES


def test_a_model_with_every_field_is_read(tmp_path: Path) -> None:
    (tmp_path / "every.mnn").write_bytes(encode(EVERY_FIELD))

    model = read_model(tmp_path / "every.mnn")

    assert (model.producer, model.version, model.source, model.outputs) == ("edgeloop", "3.6.1", "ONNX", ("scores",))
    assert [value.shape for value in model.inputs] == [(1, 3)]
    assert [operator.type for operator in model.operators][4] == "Extra (ONNX Odd)"
    assert [operator.graph for operator in model.operators] == ["", "", "", "", "", "", "body"]


def test_no_cut_through_a_model_is_taken_for_a_whole_one(converted: Path, tmp_path: Path) -> None:
    whole = converted.read_bytes()
    cut = tmp_path / "cut.mnn"
    for length in {*range(1, 64), *range(64, len(whole) - 16, 997), *range(len(whole) - 64, len(whole) - 16)}:
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="not an MNN model"):
            read_model(cut)


def test_damaged_bytes_give_an_answer_or_a_model_error_and_never_anything_else(converted: Path, tmp_path: Path) -> None:
    whole = converted.read_bytes()
    # Tables stand between the weights; hits are spread over everything that is not a run of floats.
    generator = random.Random(7)
    interesting = [match.start() for match in re.finditer(rb"[\x00-\x30]\x00\x00\x00|\xff\xff\xff", whole)]
    damaged = tmp_path / "damaged.mnn"
    refused = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            at = min(generator.choice(interesting) + generator.randint(0, 3), len(data) - 1)
            data[at] = generator.choice((0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)))
        damaged.write_bytes(data)
        try:
            read_model(damaged)
        except ModelError:
            refused += 1
    assert refused > 50


def test_a_table_that_is_listed_a_million_times_is_refused(tmp_path: Path) -> None:
    builder = flatbuffers.Builder(1024)
    name = builder.CreateString("x" * 60_000)
    builder.StartObject(6)
    builder.PrependUOffsetTRelativeSlot(Op.NAME, name, 0)
    operator = builder.EndObject()
    builder.StartVector(4, 1_100_000, 4)
    for _ in range(1_100_000):
        builder.PrependUOffsetTRelative(operator)
    operators = builder.EndVector()
    builder.StartObject(12)
    builder.PrependUOffsetTRelativeSlot(Net.OPLISTS, operators, 0)
    builder.Finish(builder.EndObject())
    (tmp_path / "many.mnn").write_bytes(bytes(builder.Output()))

    with pytest.raises(ModelError, match=r"at most|more than"):
        read_model(tmp_path / "many.mnn")


def test_a_long_list_that_many_operators_share_is_refused_before_it_is_read_a_thousand_times(tmp_path: Path) -> None:
    builder = flatbuffers.Builder(1024)
    builder.StartVector(4, 100_000, 4)
    for _ in range(100_000):
        builder.PrependInt32(0)
    indices = builder.EndVector()
    tables = []
    for _ in range(1000):
        builder.StartObject(6)
        builder.PrependUOffsetTRelativeSlot(Op.INPUT_INDEXES, indices, 0)
        tables.append(builder.EndObject())
    builder.StartVector(4, len(tables), 4)
    for table in tables:
        builder.PrependUOffsetTRelative(table)
    operators = builder.EndVector()
    builder.StartObject(12)
    builder.PrependUOffsetTRelativeSlot(Net.OPLISTS, operators, 0)
    builder.Finish(builder.EndObject())
    (tmp_path / "shared.mnn").write_bytes(bytes(builder.Output()))

    with pytest.raises(ModelError, match="overlap"):
        read_model(tmp_path / "shared.mnn")


def test_operators_that_contain_each_other_are_refused(tmp_path: Path) -> None:
    inner: dict[Any, Any] = op(7, BLOB)
    for _ in range(20):
        inner = op(92, {LoopParam.COMMANDS: [{RegionCommand.OP: inner}]})
    (tmp_path / "deep.mnn").write_bytes(encode({Net.OPLISTS: [inner], Net.TENSOR_NAME: ["a"]}))

    with pytest.raises(ModelError, match="nested"):
        read_model(tmp_path / "deep.mnn")


def test_quantised_weights_that_cannot_stand_in_their_bytes_are_refused(tmp_path: Path) -> None:
    header = b"\2\xff\xff\xff\xff\0"  # 65535 x 65535 weights of 8 bits
    quantised = {IDSTQuan.BUFFER: header + b"\0" * 300, IDSTQuan.TYPE: 1}
    model = {Net.OPLISTS: [op(9, {Convolution2D.QUAN_PARAMETER: quantised}, number=12)], Net.TENSOR_NAME: ["a"]}
    (tmp_path / "lie.mnn").write_bytes(encode(model))

    with pytest.raises(ModelError, match="cannot stand in"):
        read_model(tmp_path / "lie.mnn")
