"""Variants of a model beside their reference, on this computer."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import edgeloop_task
from edgeloop import JobContext, ModelPath
from edgeloop_plugins.model_tools.convert import convert
from edgeloop_plugins.model_tools.differences import Difference
from edgeloop_plugins.model_tools.latency import latencies, verdict
from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_plugins.model_tools.parameters import CompareParameters, ConvertParameters
from edgeloop_plugins.model_tools.paths import in_workspace
from edgeloop_plugins.model_tools.results import CompareResult, OutputDifference, VariantComparison
from edgeloop_shared.errors import ModelError
from edgeloop_task.sample_inputs import Sample, in_order, random_samples, stored_samples


def compare(parameters: CompareParameters, context: JobContext) -> CompareResult:
    """Run the variants and the reference on the same inputs and return how they differ in outputs, size and latency.

    An ONNX model is converted first. Raises `NotFoundError`, `ModelError` or `InvalidInputError` for models and inputs that
    cannot be read or do not fit together.
    """
    notes: list[str] = []
    paths = [_mnn_model(path, context, notes) for path in (parameters.reference, *parameters.variants)]
    sizes = [_size(path) for path in paths]
    with ExitStack() as stack:
        models = [stack.enter_context(closing(edgeloop_task.load_model(path, threads=1))) for path in paths]
        reference, *variants = models
        for path, variant in zip(paths[1:], variants, strict=True):
            _require_same_tensors(paths[0], reference, path, variant)
        if parameters.inputs:
            data = in_workspace(parameters.inputs, context.workspace)
            samples, described = stored_samples(data, reference.inputs, parameters.samples), str(data)
        else:
            samples = random_samples(reference.inputs, parameters.samples, parameters.seed)
            described = f"random numbers, seed {parameters.seed}"
            notes.append(
                "The inputs are random numbers: agreement on real data can differ. Give real ones with --inputs."
            )
        differences = _differences(reference, variants, samples, context)
    measured = latencies(
        paths, samples[0], lambda fraction: context.progress(0.5 + fraction / 2, "measuring the latency")
    )
    return CompareResult(
        reference=str(paths[0]),
        reference_bytes=sizes[0],
        reference_latency=measured[0],
        samples=len(samples),
        inputs=described,
        variants=tuple(
            VariantComparison(
                model=str(path),
                bytes=size,
                ratio=size / sizes[0],
                latency=latency,
                latency_verdict=verdict(latency, measured[0]),
                differences=found,
            )
            for path, size, found, latency in zip(paths[1:], sizes[1:], differences, measured[1:], strict=True)
        ),
        notes=tuple(notes),
    )


def _mnn_model(asked: ModelPath, context: JobContext, notes: list[str]) -> Path:
    path = in_workspace(asked, context.workspace)
    if path.suffix.lower() != ".onnx":
        return path
    converted = context.folder / f"converted-{len(notes)}-{path.stem}.mnn"
    convert(ConvertParameters(ModelPath(str(path)), ModelPath(str(converted))), context)
    notes.append(f"{path.name} was converted to MNN first; sizes and outputs are those of the converted model.")
    return converted


def _size(path: Path) -> int:
    model = read_model(path)
    return model.nbytes + (model.weights_file.stat().st_size if model.weights_file else 0)


def _require_same_tensors(
    reference_path: Path, reference: edgeloop_task.Model, path: Path, variant: edgeloop_task.Model
) -> None:
    for kind, ours, theirs in (
        ("inputs", reference.inputs, variant.inputs),
        ("outputs", reference.outputs, variant.outputs),
    ):
        expected = {tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in ours}
        found = {tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in theirs}
        if expected != found:
            raise ModelError(
                f"{path} has other {kind} than {reference_path}: {_shown(found)} instead of {_shown(expected)}.",
                hint="Compare only variants of one model.",
            )


def _shown(tensors: dict[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in tensors.items()) or "none"


def _differences(
    reference: edgeloop_task.Model, variants: list[edgeloop_task.Model], samples: list[Sample], context: JobContext
) -> list[tuple[OutputDifference, ...]]:
    running = [{tensor.name: Difference(tensor.name) for tensor in reference.outputs} for _ in variants]
    for done, sample in enumerate(samples, 1):
        expected = reference.run(*in_order(sample, reference))
        for variant, differences in zip(variants, running, strict=True):
            found = variant.run(*in_order(sample, variant))
            for name, difference in differences.items():
                difference.add(expected[name], found[name])
        context.progress(done / len(samples) / 2, f"sample {done} of {len(samples)}")
    return [tuple(difference.summary() for difference in differences.values()) for differences in running]
