"""ONNX to MNN."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edgeloop import JobContext
from edgeloop_plugins.model_tools import native_tools
from edgeloop_plugins.model_tools.model_file import ModelFile
from edgeloop_plugins.model_tools.native_tools import ConverterRun
from edgeloop_plugins.model_tools.onnx_file import OnnxFile, read_onnx
from edgeloop_plugins.model_tools.parameters import ConvertParameters
from edgeloop_plugins.model_tools.paths import in_workspace, output_path
from edgeloop_plugins.model_tools.results import ConvertResult, TensorSummary
from edgeloop_plugins.model_tools.source_nodes import SourceNodes
from edgeloop_plugins.model_tools.verification import run_once, written_model
from edgeloop_shared.conversions import Node, write_conversion
from edgeloop_shared.errors import ConversionError, ModelError

_UNSUPPORTED = re.compile(r"These Op Not Support:(?P<types>.*)")


def convert(parameters: ConvertParameters, context: JobContext) -> ConvertResult:
    """Convert an ONNX model and return what was written.

    Raises `NotFoundError` and `ModelError` for what cannot be read, and `ConversionError`, with the operators that MNN does
    not support, if no whole model came out.
    """
    source = in_workspace(parameters.model, context.workspace)
    context.progress(0.0, f"reading {source.name}")
    onnx = read_onnx(source)
    _require_external_weights(onnx)
    output = output_path(parameters.output, source.with_suffix(".mnn"), source, context.workspace)
    context.progress(0.1, "converting")
    with native_tools.written_file(output) as draft:
        arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(draft), "--bizCode", "edgeloop"]
        run = native_tools.run_converter([*arguments, "--fp16"] if parameters.fp16 else arguments)
        for line in run.lines:
            context.log(f"MNN: {line}")
        model = _written(draft, onnx, run)
        if parameters.fp16:
            _require_half_precision(model, run)
        context.progress(0.9, "running the result")
        not_run = run_once(model, f"{source} was converted, but MNN cannot run the result")
        nodes = SourceNodes(onnx.nodes)
        found = {one.name: node for one in model.operators if (node := nodes.find(one.name)) is not None}
        write_conversion(draft, source.name, {name: Node(node.name, node.type) for name, node in found.items()})
    context.progress(1.0, f"wrote {output}")
    return ConvertResult(
        output=str(output),
        source_bytes=onnx.nbytes,
        output_bytes=model.nbytes,
        inputs=tuple(TensorSummary(value.name, value.shape, value.dtype, value.layout) for value in model.inputs),
        outputs=model.outputs,
        operators=len(model.operators),
        notes=(*_notes(onnx, model), *([not_run] if not_run else [])),
    )


def _require_external_weights(onnx: OnnxFile) -> None:
    for location in onnx.external:
        path = Path(location)
        if path.is_absolute() or ".." in path.parts:
            raise ModelError(
                f"{onnx.path} keeps weights at {location!r}, outside of its own folder.",
                hint="Export the model into one folder, or as a single file.",
            )
        if not (onnx.path.parent / path).is_file():
            raise ModelError(
                f"{onnx.path} keeps weights in {location!r}, which is not beside it.",
                hint=f"Copy {location} into {onnx.path.parent}, or export the model as a single file.",
                details={"missing": location},
            )


def _written(draft: Path, onnx: OnnxFile, run: ConverterRun) -> ModelFile:
    unsupported = [found for line in run.lines if (found := _UNSUPPORTED.search(line))]
    if unsupported:
        types = {name.strip().removeprefix("ONNX::") for name in unsupported[0]["types"].split("|")}
        operators = [{"type": node.type, "node": node.name} for node in onnx.nodes if node.type in types]
        operators += [{"type": kind, "node": ""} for kind in sorted(types - {node.type for node in onnx.nodes})]
        named = ", ".join(f"{entry['type']} (node {entry['node']!r})" for entry in operators[:20])
        raise ConversionError(
            f"MNN does not support these operators of {onnx.path}: {named}{', …' if len(operators) > 20 else ''}.",
            hint="Replace them in the model by operators that MNN has, or export with another opset.",
            details={"operators": operators, "native_output": list(run.lines)},
        )
    return written_model(draft, onnx.path, run)


def _require_half_precision(model: ModelFile, run: ConverterRun) -> None:
    if model.weighted and 16 not in model.weights_by_bits():
        raise ConversionError(
            "The model was converted, but none of its weights became 16-bit floats.",
            hint="Convert without fp16.",
            details={"native_output": list(run.lines)},
        )


def _notes(onnx: OnnxFile, model: ModelFile) -> Iterable[str]:
    for kind, there, here in (
        ("input", onnx.inputs, {value.name for value in model.inputs}),
        ("output", onnx.outputs, set(model.outputs)),
    ):
        for value in there:
            if value.name not in here:
                yield f"The {kind} {value.name!r} of the ONNX model is not in the MNN model: nothing depends on it."
    if not model.weighted:
        yield "The model holds no weights."
