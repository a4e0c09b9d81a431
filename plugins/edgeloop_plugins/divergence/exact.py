"""The difference of two tensors from their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_plugins.divergence.results import ExactDifference, finite
from edgeloop_task.tensor_comparison import TensorComparison
from edgeloop_task.tensor_signature import SignatureDifference, row_slices

Array = NDArray[Any]
_SMALL, _LARGE = 1e-3, 0.1  # relative to the largest magnitude of the reference


def chosen_slices(
    shape: Sequence[int], itemsize: int, found: SignatureDifference | None, max_bytes: int
) -> tuple[int, ...]:
    """Return the slices along the second axis that differ most and fit `max_bytes`; none where the whole tensor fits."""
    total = math.prod(shape) * itemsize
    if total <= max_bytes or len(shape) < 2:
        return ()
    per_slice = total // shape[1]
    count = max(1, min(shape[1], max_bytes // max(per_slice, 1)))
    order = np.arange(count)
    if found is not None and len(found.row_errors):
        rows = np.argsort(-found.row_errors, kind="stable")
        order = np.concatenate([np.arange(shape[1])[row_slices(tuple(shape), int(row))] for row in rows])
    return tuple(sorted(int(at) for at in order[:count]))


def exact_difference(
    name: str, found: Array, expected: Array, shape: Sequence[int], slices: Sequence[int]
) -> ExactDifference | None:
    """Compare two arrays of one shape, `slices` of a tensor of `shape` (all of it without); None for other shapes."""
    if found.shape != expected.shape or not found.size:
        return None
    compared = TensorComparison(found, expected)
    with np.errstate(all="ignore"):
        distance = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    distance = np.where(
        np.isnan(distance) & (np.isnan(found) != np.isnan(expected)), np.inf, np.nan_to_num(distance, nan=0.0)
    )
    at = tuple(int(place) for place in np.unravel_index(int(distance.argmax()), distance.shape))
    index = (at[0], slices[at[1]], *at[2:]) if slices and len(at) > 1 else at
    return ExactDifference(
        tensor=name,
        values=found.size,
        of=math.prod(shape),
        cosine=finite(compared.cosine) if not compared.mismatches else None,
        snr_db=finite(compared.snr_db),
        max_relative_error=finite(compared.max_relative_error),
        mismatches=compared.mismatches,
        index=index,
        found=_value(found[at]),
        expected=_value(expected[at]),
        spread=_spread(distance, expected, "fetched channels" if slices else "channels"),
    )


def _spread(distance: NDArray[np.float64], expected: Array, slices: str) -> str:
    """Return in words how the differences are spread: over all values, or over few."""
    finite = np.abs(expected[np.isfinite(expected)].astype(np.float64))
    scale = float(finite.max(initial=0.0)) or 1.0
    relative = distance.ravel() / scale
    same = float(np.mean(relative <= _SMALL))
    large = float(np.mean(relative > _LARGE))
    words = f"{_part(same)} of the values agree to 0.1 % of the largest, {_part(large)} are off by more than 10 % of it"
    if distance.ndim > 1 and distance.shape[1] > 1:
        by_slice = np.moveaxis(distance, 1, 0).reshape(distance.shape[1], -1).max(axis=1) / scale
        off = int(np.count_nonzero(by_slice > _SMALL))
        if 0 < off < len(by_slice):
            words += f"; all of that is in {off} of {len(by_slice)} {slices}"
    return words


def _part(part: float) -> str:
    return "none" if not part else "all" if part == 1 else f"{part:.1%}"


def _value(value: Any) -> str:
    return f"{float(value):.6g}"
