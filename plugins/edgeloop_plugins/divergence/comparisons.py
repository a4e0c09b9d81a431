"""The rows of a comparison: stages, inputs and outputs by name, and operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeloop_plugins.divergence.matching import Pair, plain_type
from edgeloop_plugins.divergence.results import OperatorComparison, StageComparison, finite
from edgeloop_task.run_record import NamedTensor
from edgeloop_task.tensor_signature import difference, snr_db

STAGE_DB = 45.0  # two decoders of JPEG differ by half of a step of 8 bits


def error_of(decibel: float) -> float:
    """Return a signal-to-noise ratio in dB as a relative error."""
    return float(10 ** (-decibel / 20))


def compared_tensors(
    found: Sequence[NamedTensor], expected: Sequence[NamedTensor], *, bound: float = STAGE_DB, prefix: str = ""
) -> tuple[StageComparison, ...]:
    """Return how far tensors are from those of the same names, which have `prefix` in front of them in the rows.

    `bound` is the least ratio in dB that agrees.
    """
    references = {one.name: one.signature for one in expected}
    listed = []
    for one in found:
        figures, reference = one.signature.figures, references.get(one.name)
        name = prefix + one.name
        if reference is None:
            listed.append(StageComparison(name, figures.shape, (), None, False, "only on the device"))
            continue
        compared = difference(one.signature, reference)
        shape = reference.figures.shape
        if compared is None:
            agrees = figures.shape == shape
            note = "not comparable" if agrees else f"shape {_shape(figures.shape)} instead of {_shape(shape)}"
            listed.append(StageComparison(name, figures.shape, shape, None, agrees, note))
            continue
        value = finite(compared.snr_db)
        agrees = compared.error <= error_of(bound)
        note = "NaN or infinity" if math.isinf(compared.error) else ""
        listed.append(StageComparison(name, figures.shape, shape, value, agrees, note))
    names = {one.name for one in found}
    listed += [
        StageComparison(one.name, (), one.signature.figures.shape, None, False, "only in the reference")
        for one in expected
        if one.name not in names
    ]
    return tuple(listed)


def compared_operator(pair: Pair, bound: float, source: str) -> OperatorComparison:
    """Return the row of an operator; `bound` is the largest relative error that agrees."""
    outputs = [one.figures for one in pair.operator.outputs]
    shape = outputs[pair.output].shape if outputs else ()
    note = ""
    if any(one.nan_count for one in outputs):
        note = "NaN"
    elif any(one.inf_count for one in outputs):
        note = "inf"
    elif pair.error_out is None:
        note = "not comparable"
    return OperatorComparison(
        index=pair.index,
        name=pair.operator.name,
        type=plain_type(pair.operator.type),
        source=source,
        shape=shape,
        in_snr_db=None if pair.error_in is None else finite(snr_db(pair.error_in)),
        out_snr_db=None if pair.error_out is None else finite(snr_db(pair.error_out)),
        agrees=pair.error_out is None or pair.error_out <= bound,
        in_exact=pair.error_in == 0,
        out_exact=pair.error_out == 0,
        note=note,
    )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"
