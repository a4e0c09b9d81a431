"""What explains a difference, in words: read off the numbers and the files, or shown by an experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_plugins.divergence.findings import FLOOR, JUMP, Finding
from edgeloop_plugins.divergence.matching import Pair
from edgeloop_plugins.model_tools.model_file import Operator, read_model
from edgeloop_plugins.model_tools.source_nodes import SourceNode
from edgeloop_task.tensor_signature import snr_db

_DB_PER_BIT = 6.02  # of an ideal quantiser
_LOST_DB = 25.0  # what a real one may lose to that: ranges are wider than the values, and errors add up
_FACTOR = 0.02
_LIMIT = float(np.finfo(np.float32).max)


def from_numbers(finding: Finding, node: SourceNode | None) -> Iterator[str]:
    """Yield what the signatures tell of an operator."""
    pair = finding.pair
    assert pair is not None
    for number, error in sorted((pair.constants or {}).items()):
        if error > FLOOR * JUMP:
            yield (
                f"its constant input {number} differs ({snr_db(error):.0f} dB): the two models hold other weights there"
                if math.isfinite(error)
                else f"its constant input {number} differs beyond measure: the two models hold other weights there"
            )
    if any(max(abs(one.figures.min or 0), abs(one.figures.max or 0)) >= _LIMIT for one in pair.operator.outputs):
        yield "its output reaches float32's limit: MNN's convolutions write that where NaN or infinity comes out"
    if finding.kind == "not-finite":
        figures = [one.figures for one in pair.operator.inputs if one.figures.min is not None]
        ranges = ", ".join(f"{one.min:.4g} to {one.max:.4g}" for one in figures[:3])
        if ranges:
            yield f"its inputs are finite: {ranges}; the values that it cannot take are among them"
    if node is not None and node.fused:
        fused = ", ".join(f"{one.name} ({one.type})" for one in node.fused)
        yield f"MNN may have fused {fused} into it: the operator stands for these nodes as well"


def from_file(pair: Pair, model: Path, reference: Path, here: Pair | None) -> Iterator[str]:
    """Yield whether the model file explains it. `here` is the operator of `model` on the device beside this computer's."""
    error = pair.error_out
    if here is None or error is None:
        return
    if here.error_out is None or here.error_out * JUMP > error:
        yield f"this computer computes {model.name} otherwise than the device: the device's engine explains it"
        return
    yield f"this computer computes the same with {model.name}: the file explains it, not the device"
    ours, theirs = (_operator(path, pair.operator.name) for path in (model, reference))
    if ours is None or theirs is None or ours.weights is None or theirs.weights is None:
        return
    bits = ours.weights.bits
    if bits is None or bits >= 32 or bits == theirs.weights.bits:
        yield "its weights are stored alike in both files, and so their values differ"
        return
    possible = _DB_PER_BIT * bits - _LOST_DB if bits < 16 else 40.0
    if snr_db(error) >= possible:
        yield f"{model.name} stores its weights in {bits} bits: that is its quantisation"
    else:
        yield (
            f"{model.name} stores its weights in {bits} bits, which alone would leave some {max(possible, 0):.0f} dB or more: they "
            "are wrong as well, or their scales are"
        )


def from_own_error(pair: Pair, own: float | None, given: int) -> Iterator[str]:
    """Yield what an operator does with the reference's inputs; `own` is its error then."""
    if own is None or pair.error_out is None or own > JUMP * pair.error_out:  # worse than before: that tells nothing
        return
    figure = "exactly" if own == 0 else f"to {snr_db(own):.0f} dB"
    inputs = "input" if given == 1 else "inputs"
    if own * JUMP < pair.error_out:
        yield f"given the reference's {inputs}, it agrees {figure}: the difference was carried into it"
    else:
        yield f"given the reference's {inputs}, it still agrees only {figure}: the operator itself is wrong"


def from_plain_options(pair: Pair, plain: Pair | None, backend: str, precision: str) -> Iterator[str]:
    """Yield whether backend and precision explain it; `plain` is the operator on the same device on the CPU in fp32."""
    if plain is None or plain.error_out is None or pair.error_out is None:
        return
    asked = [f"precision {precision}"] * (precision != "high") + [f"backend {backend}"] * (backend != "cpu")
    figure = "exactly" if plain.error_out == 0 else f"to {snr_db(plain.error_out):.0f} dB"
    if plain.error_out * JUMP < pair.error_out:
        yield f"on the CPU with precision high the same device agrees {figure}: {' or '.join(asked)} explains it"
    else:
        yield f"on the CPU with precision high the same device agrees no better ({figure}): it is not {' or '.join(asked)}"


def from_tensors(found: NDArray[Any], expected: NDArray[Any]) -> Iterator[str]:
    """Yield what turns one tensor into the other, where that is simple."""
    a, b = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
        return
    if not a.any() and b.any():
        yield "its output is zero everywhere"
        return
    length = float(b @ b)
    factor = float(a @ b) / length if length else 0.0
    if factor and abs(factor - 1) > _FACTOR and np.linalg.norm(a - factor * b) < _FACTOR * np.linalg.norm(a):
        yield f"its output is {factor:.4g} times the reference's"


def _operator(path: Path, name: str) -> Operator | None:
    return next((one for one in read_model(path).operators if one.name == name), None)
