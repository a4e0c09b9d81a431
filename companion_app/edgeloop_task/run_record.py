"""Records of runs: signatures of a script's stages and of a model's inputs, operators and outputs, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edgeloop_shared.errors import MessageError
from edgeloop_shared.models import NAME_PATTERN
from edgeloop_task.array_file import ArrayFile, ArrayPlace, ArrayWriter, read_array_file
from edgeloop_task.stages import MAX_STAGES
from edgeloop_task.tensor_signature import TensorFigures, TensorSignature

MAX_OPERATORS = 50_000
MAX_TENSORS = 64  # of an operator
_NAME = {"max_length": 1024, "pattern": NAME_PATTERN}


@dataclass(frozen=True)
class RecordedOperator:
    """An operator as it ran; `occurrence` counts those of its name from 1."""

    name: str
    type: str
    occurrence: int
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]


@dataclass(frozen=True)
class NamedTensor:
    """A stage, or an input or output of the model."""

    name: str
    signature: TensorSignature


@dataclass(frozen=True)
class RunRecord:
    """What one side of a comparison computed. `note` says what could not be recorded.

    `model` is the file whose operators these are, relative to the folder in which it ran.
    """

    engine: str
    model: str = ""
    stages: tuple[NamedTensor, ...] = ()
    inputs: tuple[NamedTensor, ...] = ()
    operators: tuple[RecordedOperator, ...] = ()
    outputs: tuple[NamedTensor, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Tensor:
    figures: TensorFigures
    sketch: ArrayPlace


@dataclass(frozen=True)
class _NamedTensor:
    name: str = field(metadata=_NAME)
    tensor: _Tensor


@dataclass(frozen=True)
class _Operator:
    name: str = field(metadata=_NAME)
    type: str = field(metadata={"max_length": 256, "pattern": NAME_PATTERN})
    occurrence: int = field(metadata={"ge": 1, "le": MAX_OPERATORS})
    inputs: tuple[_Tensor, ...] = field(metadata={"max_length": MAX_TENSORS})
    outputs: tuple[_Tensor, ...] = field(metadata={"max_length": MAX_TENSORS})


@dataclass(frozen=True)
class _Record:
    engine: str = field(metadata={"max_length": 128, "pattern": NAME_PATTERN})
    model: str = field(metadata=_NAME)
    note: str = field(metadata={"max_length": 2000, "pattern": NAME_PATTERN})
    stages: tuple[_NamedTensor, ...] = field(metadata={"max_length": MAX_STAGES})
    inputs: tuple[_NamedTensor, ...] = field(metadata={"max_length": 1024})
    operators: tuple[_Operator, ...] = field(metadata={"max_length": MAX_OPERATORS})
    outputs: tuple[_NamedTensor, ...] = field(metadata={"max_length": 1024})


def pack_record(record: RunRecord) -> bytes:
    """Return the record as a file of arrays (`edgeloop_task.array_file`)."""
    writer = ArrayWriter()

    def packed(signature: TensorSignature) -> _Tensor:
        return _Tensor(signature.figures, writer.add(signature.sketch))

    def named(tensors: Iterable[NamedTensor]) -> tuple[_NamedTensor, ...]:
        return tuple(_NamedTensor(_plain(one.name), packed(one.signature)) for one in tensors)

    operators = tuple(
        _Operator(
            _plain(one.name),
            _plain(one.type)[:256],
            one.occurrence,
            tuple(map(packed, one.inputs[:MAX_TENSORS])),
            tuple(map(packed, one.outputs[:MAX_TENSORS])),
        )
        for one in record.operators[:MAX_OPERATORS]
    )
    stages, inputs, outputs = named(record.stages), named(record.inputs), named(record.outputs)
    return writer.file(
        _Record(record.engine, _plain(record.model), _plain(record.note), stages, inputs, operators, outputs)
    )


def unpack_record(data: bytes) -> RunRecord:
    """Return the record that `pack_record` packed. Raises `MessageError` for anything else: it is a device's word."""
    found, numbers = read_array_file(_Record, data)

    def named(tensors: Iterable[_NamedTensor]) -> tuple[NamedTensor, ...]:
        return tuple(NamedTensor(one.name, _signature(one.tensor, numbers)) for one in tensors)

    return RunRecord(
        engine=found.engine,
        model=found.model,
        stages=named(found.stages),
        inputs=named(found.inputs),
        operators=tuple(
            RecordedOperator(
                one.name,
                one.type,
                one.occurrence,
                tuple(_signature(tensor, numbers) for tensor in one.inputs),
                tuple(_signature(tensor, numbers) for tensor in one.outputs),
            )
            for one in found.operators
        ),
        outputs=named(found.outputs),
        note=found.note,
    )


def _signature(tensor: _Tensor, numbers: ArrayFile) -> TensorSignature:
    figures = tensor.figures
    if tensor.sketch.shape != (figures.rows, figures.buckets) or tensor.sketch.dtype != "float32":
        raise MessageError("A signature does not have the size that its tensor asks for.")
    sketch = numbers.array(tensor.sketch)
    if not np.isfinite(sketch).all():
        raise MessageError("A signature holds values that are not finite.")
    return TensorSignature(figures, sketch)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:1024]
