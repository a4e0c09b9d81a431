"""How an operator's weights are stored, and how many they are.

Quantised ones begin with a byte for the number of dimensions, the dimensions (16 or 32 bits each), a byte for the number of
distinct values (0 means 256) and those values; then come the packed indexes of the values. Source: what
`source/core/ConvolutionCommon.cpp` in the repository alibaba/MNN reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeloop_task import schema
from edgeloop_task.flatbuffer import FlatbufferError, Table

MAX_DEPTH = 8
INT8_CODED, SPARSE_CODED, FLOAT16, INT8_RAW = 1, 2, 3, 4


@dataclass(frozen=True)
class StoredWeights:
    """How an operator's weights are stored.

    `count` is the number of weights without biases; `nbytes` what weights, biases and scales take; `bits` per weight, None
    if unknown. `asymmetric` and `block` (weights of one input row that share a scale; 0 = one scale per output channel)
    speak of quantised weights. `external` weights stand in the file beside the model.
    """

    count: int
    nbytes: int
    bits: int | None
    asymmetric: bool = False
    block: int = 0
    external: bool = False


def stored_weights(main: Table, layout: schema.WeightFields, depth: int = 0) -> StoredWeights | None:
    """Return the weights in the parameter table `main`, or None if it holds none; `depth` counts operators around it."""
    if depth > MAX_DEPTH:
        raise FlatbufferError(f"its operators are nested more than {MAX_DEPTH} deep")
    if layout.table == "Convolution2D":
        parts = [_convolution(main)]
    elif layout.table == "InnerProduct":
        quantised = main.table(schema.InnerProduct.QUAN_PARAMETER)
        plain = _floats(main, ((schema.InnerProduct.WEIGHT, "weight"), (schema.InnerProduct.BIAS, "bias")))
        parts = [plain, *([_coded(quantised, None, ())] if quantised else [])]
    elif layout.table == "Blob":
        parts = [_blob(main, "")]
    elif layout.table == "LoopParam":
        parts = [_nested(command, depth) for command in main.tables(schema.LoopParam.COMMANDS)]
    elif layout.table == "Extra":
        tensors = (attribute.table(schema.Attribute.TENSOR) for attribute in main.tables(schema.Extra.ATTR))
        parts = [_blob(tensor, "") for tensor in tensors if tensor]
    else:
        parts = [_floats(main, layout.floats)]
        parts += [_blob(table, name) for number, name in layout.blobs if (table := main.table(number))]
        if layout.external is not None:
            parts.append(_external(main.int64s(layout.external, 16)))
    return _merged(parts)


def _nested(command: Table, depth: int) -> StoredWeights:
    op = command.table(schema.RegionCommand.OP)
    layout = schema.PARAMETERS.get(op.int8(schema.Op.MAIN_TYPE)) if op else None
    main = op.table(schema.Op.MAIN) if op else None
    found = stored_weights(main, layout, depth + 1) if main and layout else None
    return found or StoredWeights(0, 0, None)


def _merged(parts: list[StoredWeights]) -> StoredWeights | None:
    largest = max(parts, key=lambda part: part.nbytes, default=None)
    if largest is None or not largest.nbytes:
        return None
    return StoredWeights(
        count=sum(part.count for part in parts),
        nbytes=sum(part.nbytes for part in parts),
        bits=largest.bits,
        asymmetric=largest.asymmetric,
        block=largest.block,
        external=any(part.external for part in parts),
    )


def _floats(main: Table, fields: tuple[tuple[int, str], ...]) -> StoredWeights:
    count = nbytes = 0
    for number, name in fields:
        vector = main.vector(number, 4)
        nbytes += vector.nbytes
        count += 0 if "bias" in name.lower() else vector.count
    return StoredWeights(count, nbytes, 32)


def _external(entry: tuple[int, ...]) -> StoredWeights:
    """`entry` is the offset, then the bytes of each part; the first part holds the weights."""
    if any(value < 0 for value in entry):
        raise FlatbufferError("an external weight has a negative size")
    weights = entry[1] if len(entry) > 1 else 0
    return StoredWeights(weights // 4, sum(entry[1:]), 32, external=bool(weights))


def _blob(blob: Table, name: str) -> StoredWeights:
    bits = schema.FLOATING_TYPES.get(blob.int32(schema.Blob.DATA_TYPE, 1))
    sizes = ((schema.Blob.UINT8S, 1), (schema.Blob.INT8S, 1), (schema.Blob.INT32S, 4), (schema.Blob.INT64S, 8))
    nbytes = blob.vector(schema.Blob.FLOAT32S, 4).nbytes
    nbytes += sum(blob.vector(number, size).nbytes for number, size in sizes)
    external = _external(blob.int64s(schema.Blob.EXTERNAL, 16))
    if bits is None:  # indexes, shapes, masks: constants, but no weights
        return StoredWeights(0, 0, None)
    nbytes += external.nbytes
    count = 0 if "bias" in name.lower() else nbytes * 8 // bits
    return StoredWeights(count, nbytes, bits, external=external.external)


def _convolution(main: Table) -> StoredWeights:
    external = main.int64s(schema.Convolution2D.EXTERNAL, 16)
    plain = _floats(main, ((schema.Convolution2D.WEIGHT, "weight"), (schema.Convolution2D.BIAS, "bias")))
    common = main.table(schema.Convolution2D.COMMON)
    quantised = main.table(schema.Convolution2D.QUAN_PARAMETER)
    integer = main.table(schema.Convolution2D.SYMMETRIC_QUAN)
    parts = [plain]
    if quantised:
        parts.append(_coded(quantised, common, external))
    elif external:
        parts.append(_external(external))
    if integer:
        weight = integer.vector(schema.QuantizedFloatParam.WEIGHT, 1)
        scales = integer.vector(schema.QuantizedFloatParam.SCALE, 4).nbytes
        biases = integer.vector(schema.QuantizedFloatParam.BIAS, 4).nbytes
        bits = integer.int32(schema.QuantizedFloatParam.NBITS, 8)
        parts.append(StoredWeights(weight.count, weight.nbytes + scales + biases, bits if weight.count else None))
    return _merged(parts) or StoredWeights(0, 0, None)


def _coded(quantised: Table, common: Table | None, external: tuple[int, ...]) -> StoredWeights:
    buffer = quantised.vector(schema.IDSTQuan.BUFFER, 1)
    scales = quantised.vector(schema.IDSTQuan.ALPHA, 4)
    kind = quantised.int32(schema.IDSTQuan.TYPE)
    outside = _external(external)
    nbytes = buffer.nbytes + scales.nbytes + outside.nbytes
    inside_or_outside = buffer.nbytes or (external[1] if len(external) > 1 else 0)
    if kind == FLOAT16:
        return StoredWeights(inside_or_outside // 2, nbytes, 16, external=outside.external)
    stated = quantised.int32(schema.IDSTQuan.A_MAX_OR_BITS) or 8
    bits: int | None = stated if 1 <= stated <= 8 else None
    asymmetric = quantised.int32(schema.IDSTQuan.READ_TYPE) > 0
    if kind == INT8_RAW:
        return StoredWeights(inside_or_outside, nbytes, bits, asymmetric, external=outside.external)
    if kind not in (INT8_CODED, SPARSE_CODED) or not buffer.nbytes:
        return StoredWeights(_geometry(common), nbytes, bits, asymmetric, external=outside.external)
    wide = 4 if quantised.int8(schema.IDSTQuan.SHAPE_INT32) else 2
    shape, values = _code_header(quantised.bytes_of(buffer, 1 + 4 * 4 + 1), wide)
    count = math.prod(shape)
    if kind == INT8_CODED:
        bits = max(1, math.ceil(math.log2(values)))
        if values + (count * bits + 7) // 8 > buffer.nbytes:
            raise FlatbufferError(f"{count} weights of {bits} bits cannot stand in {buffer.nbytes} bytes")
    return StoredWeights(count, nbytes, bits, asymmetric, _block(shape, common))


def _code_header(head: bytes, wide: int) -> tuple[tuple[int, ...], int]:
    end = 1 + head[0] * wide
    if not 1 <= head[0] <= 4 or len(head) <= end:
        raise FlatbufferError("quantised weights have no valid header")
    return tuple(int.from_bytes(head[at : at + wide], "little") for at in range(1, end, wide)), head[end] or 256


def _geometry(common: Table | None) -> int:
    if common is None:
        return 0
    names = schema.Convolution2DCommon
    group = max(common.int32(names.GROUP, 1), 1)
    channels = common.int32(names.OUTPUT_COUNT) * common.int32(names.INPUT_COUNT) // group
    return max(channels, 0) * max(common.int32(names.KERNEL_X, 1), 0) * max(common.int32(names.KERNEL_Y, 1), 0)


def _block(shape: tuple[int, ...], common: Table | None) -> int:
    """Rows beyond the output channels mean that each channel is split into blocks with scales of their own."""
    if common is None or len(shape) != 2:
        return 0
    names = schema.Convolution2DCommon
    outputs = common.int32(names.OUTPUT_COUNT)
    area = common.int32(names.KERNEL_X, 1) * common.int32(names.KERNEL_Y, 1)
    split = outputs > 0 and area > 0 and shape[0] > outputs and shape[0] % outputs == 0
    return shape[1] // area if split else 0
