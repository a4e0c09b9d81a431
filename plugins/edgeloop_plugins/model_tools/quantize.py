"""Smaller weights: 16-bit floats, or integers of 2 to 8 bits. Activations stay floats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeloop import JobContext
from edgeloop_plugins.model_tools import native_tools
from edgeloop_plugins.model_tools.model_file import ModelFile, Operator, read_model
from edgeloop_plugins.model_tools.native_tools import ConverterRun
from edgeloop_plugins.model_tools.parameters import QuantizeParameters
from edgeloop_plugins.model_tools.paths import in_workspace, output_path
from edgeloop_plugins.model_tools.results import LeftOut, QuantizeResult
from edgeloop_plugins.model_tools.stored_weights import StoredWeights
from edgeloop_plugins.model_tools.verification import run_once, written_model
from edgeloop_shared.conversions import read_conversion, write_conversion
from edgeloop_shared.errors import ConversionError, InvalidInputError, NotFoundError

LEAST_FRACTION = 0.5  # of the weights must become as asked; with fewer, the model is not what its name says


def quantize(parameters: QuantizeParameters, context: JobContext) -> QuantizeResult:
    """Write a model with smaller weights and return what became of them.

    Raises `InvalidInputError` for options that exclude each other, `NotFoundError` and `ModelError` for a model that cannot be
    read, and `ConversionError` if MNN changed nothing, or not as asked.
    """
    bits = _bits(parameters)
    source = in_workspace(parameters.model, context.workspace)
    context.progress(0.0, f"reading {source.name}")
    before = read_model(source)
    _require_fp32(before)
    default = source.with_name(f"{source.stem}-{_suffix(parameters, bits)}.mnn")
    output = output_path(parameters.output, default, source, context.workspace)
    context.progress(0.1, "quantising")
    with native_tools.written_file(output) as draft:
        after, run = _quantised(source, draft, parameters, bits, context)
        left_out = tuple(_left_out(after, parameters, bits, run))
        changed = [operator for operator in after.weighted if _as_asked(operator, parameters, bits)]
        if _count(changed) < LEAST_FRACTION * _count(after.weighted) or not changed:
            raise _hardly_changed(after, source, changed, left_out, run)
        if parameters.block and all(weights.block != parameters.block for weights in _integers(changed)):
            raise ConversionError(
                f"Blocks of {parameters.block} input channels had no effect on {source}: no operator has a larger multiple of it.",
                hint="Choose a smaller block, or none.",
                details={"native_output": list(run.lines)},
            )
        if after.nbytes >= before.nbytes + _external_bytes(before):
            raise ConversionError(
                f"{source} did not become smaller: {before.nbytes} bytes before, {after.nbytes} after.",
                hint="Its weights are too few to matter; keep it as it is.",
                details={"native_output": list(run.lines)},
            )
        context.progress(0.9, "running the result")
        not_run = run_once(after, f"{source} was quantised, but MNN cannot run the result")
        if (conversion := read_conversion(source)) is not None:  # the operators keep their names
            write_conversion(draft, conversion.source, conversion.nodes)
    context.progress(1.0, f"wrote {output}")
    source_bytes = before.nbytes + _external_bytes(before)
    return QuantizeResult(
        output=str(output),
        source_bytes=source_bytes,
        output_bytes=after.nbytes,
        ratio=after.nbytes / source_bytes,
        bits=bits,
        fraction_changed=_count(changed) / _count(after.weighted),
        operators_changed=len(changed),
        left_out=left_out,
        notes=(*_notes(after, changed, parameters), *([not_run] if not_run else [])),
    )


def _bits(parameters: QuantizeParameters) -> int:
    if not parameters.fp16:
        return 8 if parameters.bits is None else parameters.bits
    integers_only = {
        "bits": parameters.bits is not None,
        "asymmetric": parameters.asymmetric,
        "block": parameters.block != 0,
        "hqq": parameters.hqq,
    }
    given = [name for name, is_given in integers_only.items() if is_given]
    if given:
        raise InvalidInputError(
            f"fp16 cannot be combined with {', '.join(given)}.",
            hint="Ask for fp16 alone, or for bits.",
            details={"fields": [{"field": name, "message": "not together with fp16"} for name in given]},
        )
    return 16


def _suffix(parameters: QuantizeParameters, bits: int) -> str:
    if parameters.fp16:
        return "fp16"
    method = "-hqq" if parameters.hqq else "-asymmetric" if parameters.asymmetric else ""
    return f"int{bits}{method}" + (f"-block{parameters.block}" if parameters.block else "")


def _require_fp32(model: ModelFile) -> None:
    if model.weights_file is not None and not model.weights_file.is_file():
        raise NotFoundError(
            f"{model.path} keeps its weights in {model.weights_file.name}, which is not beside it.",
            hint=f"Copy it into {model.path.parent}.",
        )
    by_bits = model.weights_by_bits()
    if not sum(by_bits.values()):
        raise ConversionError(f"{model.path} holds no weights, so there is nothing to make smaller.", hint="Keep it.")
    if not by_bits.get(32):
        present = ", ".join(f"{bits}" for bits in sorted(bits for bits in by_bits if bits is not None))
        raise ConversionError(
            f"{model.path} is quantised already: its weights have {present or 'unknown'} bits, and MNN leaves such weights alone.",
            hint="Start from the model with 32-bit weights.",
        )


def _quantised(
    source: Path, draft: Path, parameters: QuantizeParameters, bits: int, context: JobContext
) -> tuple[ModelFile, ConverterRun]:
    arguments = ["-f", "MNN", "--modelFile", str(source), "--MNNModel", str(draft), "--bizCode", "edgeloop"]
    if parameters.fp16:
        return _converted([*arguments, "--fp16"], draft, source, context)
    arguments += ["--weightQuantBits", str(bits)]
    if parameters.block:
        arguments += ["--weightQuantBlock", str(parameters.block)]
    if parameters.hqq:
        return _converted([*arguments, "--hqq"], draft, source, context)
    # The flag's meaning is not the same in all versions of MNN (in 3.6.1 it turns asymmetric weights off). What came out
    # is looked at, and the other way is taken if it is not what was asked for.
    flagged = [*arguments, "--weightQuantAsymmetric"]
    first, second = (arguments, flagged) if parameters.asymmetric else (flagged, arguments)
    model, run = _converted(first, draft, source, context)
    if _symmetry(model) == (not parameters.asymmetric):
        model, run = _converted(second, draft, source, context)
    return model, run


def _symmetry(model: ModelFile) -> bool | None:
    """Whether the quantised weights are asymmetric; None without any."""
    return next((weights.asymmetric for weights in _integers(model.operators)), None)


def _integers(operators: Sequence[Operator]) -> Iterator[StoredWeights]:
    for operator in operators:
        if operator.weights and operator.weights.bits is not None and operator.weights.bits <= 8:
            yield operator.weights


def _converted(arguments: list[str], draft: Path, source: Path, context: JobContext) -> tuple[ModelFile, ConverterRun]:
    draft.unlink(missing_ok=True)
    run = native_tools.run_converter(arguments)
    for line in run.lines:
        context.log(f"MNN: {line}")
    return written_model(draft, source, run), run


def _as_asked(operator: Operator, parameters: QuantizeParameters, bits: int) -> bool:
    weights = operator.weights
    if weights is None or weights.bits is None:
        return False
    if parameters.fp16:
        return weights.bits == 16
    # A weight of fewer distinct values than asked for is stored with fewer bits.
    symmetry = weights.asymmetric == (parameters.asymmetric or parameters.hqq)
    return weights.bits <= bits and symmetry


def _left_out(model: ModelFile, parameters: QuantizeParameters, bits: int, run: ConverterRun) -> Iterator[LeftOut]:
    for operator in model.weighted:
        weights = operator.weights
        if weights and weights.count and not _as_asked(operator, parameters, bits):
            yield LeftOut(operator.name, operator.type, weights.count, _reason(operator, weights, model, run))


def _reason(operator: Operator, weights: StoredWeights, model: ModelFile, run: ConverterRun) -> str:
    said = [line for line in run.lines if line.rstrip(".").endswith(f"layer: {operator.name}")]
    if said:
        return f"MNN says: {said[-1]}"
    if weights.bits != 32:
        return f"it is stored with {weights.bits} bits already, and MNN leaves such weights alone"
    if operator.type in ("Const", "TrainableParam"):
        readers = [
            other
            for other in model.operators
            if other.graph == operator.graph and not set(operator.outputs).isdisjoint(other.inputs)
        ]
        read_by = f", read by {readers[0].type} {readers[0].name}" if readers else ""
        return f"it is a constant{read_by}, and MNN quantises the weights of convolutions only"
    if not operator.is_convolution:
        return f"MNN does not make the weights of a {operator.type} smaller"
    return f"MNN left its {weights.count} weights as they were"


def _hardly_changed(
    model: ModelFile, source: Path, changed: Sequence[Operator], left_out: Sequence[LeftOut], run: ConverterRun
) -> ConversionError:
    largest = sorted(left_out, key=lambda entry: -entry.weights)
    named = "; ".join(f"{entry.name} ({entry.type}, {entry.weights} weights): {entry.reason}" for entry in largest[:5])
    constants = any(entry.type in ("Const", "TrainableParam") for entry in largest[:5])
    return ConversionError(
        f"MNN changed only {_count(changed)} of the {_count(model.weighted)} weights of {source}. {named}.",
        hint="Fully connected layers that were trained in MNN can be written as 1x1 convolutions, or exported through ONNX;"
        " fp16 changes constants too."
        if constants
        else "Keep the model as it is.",
        details={
            "operators": [
                {"type": entry.type, "node": entry.name, "weights": entry.weights, "reason": entry.reason}
                for entry in largest[:200]
            ],
            "native_output": list(run.lines),
        },
    )


def _notes(model: ModelFile, changed: Sequence[Operator], parameters: QuantizeParameters) -> Iterator[str]:
    kept = _count(model.weighted) - _count(changed)
    if kept:
        yield f"{kept} of {_count(model.weighted)} weights stayed as they were."
    if parameters.block:
        whole = sum(1 for weights in _integers(changed) if weights.block != parameters.block)
        if whole:
            yield (
                f"{whole} of {len(changed)} operators have one scale per output channel: their input channels are not a"
                f" multiple of {parameters.block}, or no more than that."
            )


def _count(operators: Sequence[Operator]) -> int:
    return sum(operator.weights.count for operator in operators if operator.weights)


def _external_bytes(model: ModelFile) -> int:
    return model.weights_file.stat().st_size if model.weights_file else 0
