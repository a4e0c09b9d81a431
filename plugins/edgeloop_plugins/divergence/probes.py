"""Looking into a difference: the numbers are fetched where it begins, and experiments tell what explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeloop_plugins.divergence import causes, preprocessing
from edgeloop_plugins.divergence.comparisons import error_of
from edgeloop_plugins.divergence.exact import chosen_slices, exact_difference
from edgeloop_plugins.divergence.findings import Finding, first_finding
from edgeloop_plugins.divergence.matching import Pair, matched
from edgeloop_plugins.divergence.plan import Plan
from edgeloop_plugins.divergence.results import ExactDifference, StageComparison
from edgeloop_plugins.divergence.sides import Array, Host, Recorded, Work
from edgeloop_task.divergence_task import TensorAsked
from edgeloop_task.run_record import RecordedOperator
from edgeloop_task.tensor_comparison import TensorComparison

INPUT = "input "
"""In front of the names of a model's inputs, which follow the stages."""
_PLAIN = (("cpu", "high"), ("cpu", "normal"))


def look_into(
    plan: Plan, finding: Finding, work: Work, reference_work: Work, reference: Recorded
) -> tuple[ExactDifference | None, list[str]]:
    """Fetch the numbers at an operator, and try out what explains them; return the difference and the causes in words."""
    pair = finding.pair
    assert pair is not None
    figures = pair.operator.outputs[pair.output].figures
    slices = chosen_slices(figures.shape, _itemsize(figures.dtype), pair.difference, plan.parameters.max_bytes // 2)
    mine = TensorAsked(pair.operator.name, pair.operator.occurrence, "out", pair.output, slices)
    feeds = not finding.is_clear and isinstance(plan.reference, Host) and work.script is None
    fed = _fed(plan, pair, reference_work) if feeds else ()
    with ThreadPoolExecutor(4) as pool:
        expected = pool.submit(_expected, plan, pair, slices, reference_work, reference)
        own = pool.submit(plan.record, replace(work, asked=(mine,), fed=fed))
        plain = pool.submit(_with_plain_options, plan, pair, work)
        here = pool.submit(_with_this_computer, plan, pair, work)
        ours, wanted = own.result().tensors, expected.result()
        reasons = [*here.result(), *plain.result()]
    if wanted is None or "asked-0" not in ours:
        return None, reasons
    if fed and "fed-0" in ours and ours["fed-0"].shape == wanted.shape:
        ratio = TensorComparison(ours["fed-0"], wanted).snr_db
        reasons += causes.from_own_error(pair, 0.0 if ratio == math.inf else error_of(ratio), len(fed))
    reasons += causes.from_tensors(ours["asked-0"], wanted)
    name = f"output {pair.output} of {pair.operator.name}"
    return exact_difference(name, ours["asked-0"], wanted, figures.shape, slices), reasons


def look_into_stage(
    plan: Plan, first: StageComparison, before: Sequence[StageComparison], work: Work, reference: Recorded
) -> tuple[ExactDifference | None, list[str]]:
    """Fetch the numbers of the first stage that differs and of the one before it, and try out what turns one into the other.

    A stage that is larger than what a device may be asked for is left alone.
    """
    is_input = first.name.startswith(INPUT)
    if not is_input and math.prod(first.shape) * 4 > plan.parameters.max_bytes:
        return None, [
            f"the stage is larger than --max-bytes ({plan.parameters.max_bytes}): its numbers were not fetched"
        ]
    asked = () if is_input else (first.name,)
    known = tuple(one.name for one in before[-1:] if not one.name.startswith(INPUT))
    with ThreadPoolExecutor(2) as pool:
        expected = pool.submit(_expected_stages, plan, (*asked, *known), work, reference)
        own = pool.submit(plan.record, replace(work, stages=asked))
        ours, theirs = own.result().tensors, expected.result()
    inputs = f"input-{first.name.removeprefix(INPUT)}"
    found = ours.get(inputs if is_input else "stage-0")
    wanted = reference.tensors.get(inputs) if is_input else theirs.get(first.name)
    if found is None or wanted is None:
        return None, []
    reasons = preprocessing.explanations(found, wanted, theirs.get(known[0]) if known else None)
    return exact_difference(f"stage {first.name}", found, wanted, found.shape, ()), reasons


def on_equal_inputs(plan: Plan, model: Path, reference: Recorded) -> str:
    """Run the model of a script alone on both sides, on what the reference's script gave it; return whether it agrees, in words."""
    inputs = {key.removeprefix("input-"): array for key, array in reference.tensors.items() if key.startswith("input-")}
    if not inputs:
        return "whether the model itself agrees was not tried: the reference holds no inputs of it"
    file = plan.context.folder / "equal-inputs.npz"
    np.savez(file, **inputs)  # type: ignore[arg-type]
    alone = Work(model=model, inputs=file)
    with ThreadPoolExecutor(2) as pool:
        expected, own = pool.submit(plan.on_host().record, alone), pool.submit(plan.record, alone)
        pairs, _ = matched(own.result().record.operators, expected.result().record.operators, {})
    finding = first_finding(pairs, error_of(plan.bound(model, model)))
    if finding.pair is None:
        return f"given the same inputs, all {len(pairs)} operators of {model.name} agree: the preprocessing is all that differs"
    return f"given the same inputs, {model.name} differs as well, first at {finding.pair.operator.name}: look at it by itself"


def _expected(
    plan: Plan, pair: Pair, slices: tuple[int, ...], reference_work: Work, reference: Recorded
) -> Array | None:
    """Return the reference's output, or those slices of it: what was kept of it, else what another run gives."""
    name, occurrence = pair.reference.name, pair.reference.occurrence
    kept = reference.output(name, occurrence, pair.output)
    if kept is not None:
        return kept[:, list(slices)] if slices else kept
    if not plan.has_live_reference:
        return None
    asked = TensorAsked(name, occurrence, "out", pair.output, slices)
    return plan.counted(plan.reference.record(replace(reference_work, asked=(asked,)))).tensors.get("asked-0")


def _expected_stages(plan: Plan, names: tuple[str, ...], work: Work, reference: Recorded) -> dict[str, Array]:
    """Return the reference's stages: what was kept of them, else what another run gives."""
    kept = {name: array for name in names if (array := reference.stage(name)) is not None}
    if len(kept) == len(names) or not plan.has_live_reference:
        return kept
    again = plan.counted(plan.reference.record(replace(work, stages=names))).tensors
    return {name: again[f"stage-{number}"] for number, name in enumerate(names) if f"stage-{number}" in again}


def _fed(plan: Plan, pair: Pair, reference_work: Work) -> tuple[tuple[str, int, int, Path], ...]:
    """Return the reference's activations as inputs for the device's operator, where they are not too large."""
    if "INT8" in pair.operator.type.upper():  # its tensors hold 8-bit numbers on scales of their own
        return ()
    constants = pair.constants or {}
    numbers = [at for at in range(min(len(pair.operator.inputs), len(pair.reference.inputs))) if at not in constants]
    sizes = [pair.reference.inputs[at].figures for at in numbers]
    if not numbers or sum(one.count * _itemsize(one.dtype) for one in sizes) > plan.parameters.max_bytes:
        return ()
    asked = tuple(TensorAsked(pair.reference.name, pair.reference.occurrence, "in", at) for at in numbers)
    tensors = plan.reference.record(replace(reference_work, asked=asked)).tensors
    fed = []
    for place, number in enumerate(numbers):
        if f"asked-{place}" in tensors:
            file = plan.context.folder / f"fed-{number}.npy"
            np.save(file, tensors[f"asked-{place}"])
            fed.append((pair.operator.name, pair.operator.occurrence, number, file))
    return tuple(fed)


def _with_plain_options(plan: Plan, pair: Pair, work: Work) -> list[str]:
    """Try the same device on the CPU in fp32, where it was asked for something else."""
    options = plan.options
    if work.script is not None or (options.backend, options.precision) in _PLAIN:
        return []
    plain = plan.on_device(plan.device.device, replace(options, backend="cpu", precision="high"))
    return list(
        causes.from_plain_options(
            pair, _same(pair, plan.counted(plain.record(work))), options.backend, options.precision
        )
    )


def _with_this_computer(plan: Plan, pair: Pair, work: Work) -> list[str]:
    """Try the device's model on this computer, where the reference is another model."""
    if work.model is None or plan.reference_model == plan.path or not plan.has_live_reference:
        return []
    if any(error > 0 for error in (pair.constants or {}).values()):  # the weights differ: nothing needs to be tried
        return []
    here = _operator_of(pair, plan.on_host().record(work))
    compared = None if here is None else next(iter(matched([pair.operator], [here], {})[0]), None)
    return list(causes.from_file(pair, plan.path, plan.reference_model, compared))


def _same(pair: Pair, recorded: Recorded) -> Pair | None:
    """Return the operator of another run beside the reference of `pair`."""
    operator = _operator_of(pair, recorded)
    if operator is None:
        return None
    reference = replace(pair.reference, name=operator.name, occurrence=operator.occurrence)
    return next(iter(matched([operator], [reference], {})[0]), None)


def _operator_of(pair: Pair, recorded: Recorded) -> RecordedOperator | None:
    """Return the device's operator of `pair` as it is in another run of the same model."""
    return next((one for one in recorded.record.operators if (one.name, one.occurrence) == pair.key), None)


def _itemsize(dtype: str) -> int:
    return 4 if dtype == "unknown" else np.dtype(dtype).itemsize
