"""Parts of a tensor for somebody who looks at it from outside: statistics, a bounded number of values, a histogram."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_control import HISTOGRAM_BINS, MAX_SLICE_VALUES, Histogram, TensorPart, parse_index
from edgeloop_task.tensor_statistics import TensorStatistics, told


def part_of(array: NDArray[Any], text: str, what: str) -> TensorPart:
    """Return the part of `array` that the index `text` names. Raises `InvalidInputError` that names `what` where there is none."""
    try:
        part = np.asarray(array[parse_index(text)])
    except IndexError as error:
        raise InvalidInputError(
            f"{what} of the shape {list(array.shape)} has no part {text!r}: {error}.",
            hint="Axes and indexes are counted from 0.",
        ) from None
    values = tuple(_short(told(float(value))) for value in part.flat[:MAX_SLICE_VALUES])
    return TensorPart(TensorStatistics(part).summary(), values, _histogram(part))


def _histogram(part: NDArray[Any]) -> Histogram | None:
    finite = part[np.isfinite(part)].astype(np.float64)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    if not math.isfinite(high - low):
        return None  # there are no bins of equal width in float64
    counts, edges = np.histogram(finite, bins=HISTOGRAM_BINS)
    return Histogram(float(edges[0]), float(edges[-1]), tuple(map(int, counts)))


def _short(value: Any) -> Any:
    """Return a number in as few letters as float32 needs: the reply is text, of bounded length."""
    return float(f"{value:.9g}") if isinstance(value, float) else value
