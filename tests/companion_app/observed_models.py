"""Models whose operators are observed, and what their operators compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from companion_app.task_models import KERNEL, random
from numpy.typing import NDArray

IMAGE = random(1, 3, 8, 8)
WAVE = np.array([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]], np.float32)  # the sine of -1 has no root


def convolved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the operator `conv` of the network computes."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    result: NDArray[np.float32] = np.maximum(np.einsum("nchwij,ocij->nohw", windows, KERNEL), 0)
    return result


def pooled(features: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any] = features.mean(axis=(2, 3), keepdims=True)
    return mean
