"""What a model holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import edgeloop_task
from edgeloop import JobContext
from edgeloop_plugins.model_tools.model_file import ModelFile, Operator, read_model
from edgeloop_plugins.model_tools.onnx_file import read_onnx
from edgeloop_plugins.model_tools.parameters import InspectParameters
from edgeloop_plugins.model_tools.paths import in_workspace
from edgeloop_plugins.model_tools.results import (
    BitsShare,
    InspectResult,
    OperatorCount,
    OperatorSummary,
    TensorSummary,
)
from edgeloop_shared.errors import EdgeloopError


def inspect(parameters: InspectParameters, context: JobContext) -> InspectResult:
    """Return what an MNN or ONNX model holds; of an ONNX model, its operators, inputs and outputs.

    Raises `NotFoundError` if there is no such file and `ModelError` if it is not a whole model.
    """
    path = in_workspace(parameters.model, context.workspace)
    result = _inspect_onnx(path) if path.suffix.lower() == ".onnx" else _inspect_mnn(path)
    context.progress(1.0, f"read {path.name}")
    return result


def _inspect_mnn(path: Path) -> InspectResult:
    model = read_model(path)
    notes: list[str] = []
    by_bits = model.weights_by_bits()
    weights = sum(by_bits.values())
    quantised = sum(count for bits, count in by_bits.items() if bits is not None and bits <= 8)
    return InspectResult(
        model=str(path),
        format="MNN",
        version=model.version,
        producer=model.producer,
        source=model.source,
        bytes=model.nbytes + _external_bytes(model, notes),
        weight_bytes=sum(operator.weights.nbytes for operator in model.operators if operator.weights),
        weights=weights,
        fraction_quantised=quantised / weights if weights else 0.0,
        inputs=tuple(TensorSummary(value.name, value.shape, value.dtype, value.layout) for value in model.inputs),
        outputs=_outputs(model, notes),
        bits=_shares(model),
        operator_counts=_counts(operator.type for operator in model.operators),
        operators=tuple(_summary(operator) for operator in model.operators),
        notes=tuple(notes),
    )


def _external_bytes(model: ModelFile, notes: list[str]) -> int:
    if model.weights_file is None:
        return 0
    if not model.weights_file.is_file():
        notes.append(f"The weights stand in {model.weights_file.name}, which is missing: the model cannot run.")
        return 0
    notes.append(f"The weights stand in {model.weights_file.name}; both files belong together.")
    return model.weights_file.stat().st_size


def _outputs(model: ModelFile, notes: list[str]) -> tuple[TensorSummary, ...]:
    """The file names its outputs only; their shapes come from MNN, once it has loaded the model."""
    unknown = tuple(TensorSummary(name, None, "unknown") for name in model.outputs)
    if model.weights_file is not None and not model.weights_file.is_file():
        return unknown
    try:
        loaded = edgeloop_task.load_model(model.path)
    except EdgeloopError as error:
        notes.append(f"MNN cannot load the model, so the outputs' shapes are not known: {error.message}")
        return unknown
    try:
        return tuple(TensorSummary(output.name, tuple(output.shape), output.dtype) for output in loaded.outputs)
    finally:
        loaded.close()


def _shares(model: ModelFile) -> tuple[BitsShare, ...]:
    weights, operators = model.weights_by_bits(), Counter[int | None]()
    for operator in model.operators:
        if operator.weights and operator.weights.count:
            operators[operator.weights.bits] += 1
    return tuple(
        BitsShare(bits, weights[bits], operators[bits])
        for bits in sorted(weights, key=lambda bits: -1 if bits is None else bits)
        if weights[bits]
    )


def _summary(operator: Operator) -> OperatorSummary:
    weights = operator.weights
    if weights is None:
        return OperatorSummary(operator.name, operator.type, graph=operator.graph)
    return OperatorSummary(
        name=operator.name,
        type=operator.type,
        weights=weights.count,
        weight_bytes=weights.nbytes,
        bits=weights.bits,
        asymmetric=weights.asymmetric,
        block=weights.block,
        graph=operator.graph,
    )


def _inspect_onnx(path: Path) -> InspectResult:
    model = read_onnx(path)
    external = [path.parent / location for location in model.external]
    notes = [f"Weights stand in {file.name}{'' if file.is_file() else ', which is missing'}." for file in external]
    notes.append("Bits and weights are counted once the model is converted to MNN.")
    return InspectResult(
        model=str(path),
        format="ONNX",
        version=f"opset {model.opset}",
        producer=model.producer,
        source=model.producer,
        bytes=model.nbytes + sum(file.stat().st_size for file in external if file.is_file()),
        weight_bytes=0,
        weights=0,
        fraction_quantised=0.0,
        inputs=tuple(TensorSummary(value.name, value.shape, value.dtype) for value in model.inputs),
        outputs=tuple(TensorSummary(value.name, value.shape, value.dtype) for value in model.outputs),
        bits=(),
        operator_counts=_counts(_full_type(node.domain, node.type) for node in model.nodes),
        operators=tuple(OperatorSummary(node.name, _full_type(node.domain, node.type)) for node in model.nodes),
        notes=tuple(notes),
    )


def _full_type(domain: str, kind: str) -> str:
    return f"{domain}.{kind}" if domain and domain != "ai.onnx" else kind


def _counts(types: Iterable[str]) -> tuple[OperatorCount, ...]:
    return tuple(OperatorCount(kind, count) for kind, count in Counter(types).most_common())
