"""`python -m edgeloop_task.self_test`: make a tiny model, run it, and print how far the numbers are off, as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import EdgeloopError
from edgeloop_task.engine import mnn, mnn_modules
from edgeloop_task.model import load_model
from edgeloop_task.native_output import capture

FEATURES, UNITS = 8, 4


def write_dense_layer(path: Path, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """Write a model of `relu(x @ weights + bias)` for one row `x`; `weights` are (features, units), `bias` is (units,)."""
    features, units = weights.shape
    expressions, _ = mnn_modules()
    x = expressions.placeholder([1, features], expressions.NCHW)
    x.name = "x"
    product = expressions.matmul(x, expressions.const(weights, [features, units]))
    y = expressions.relu(product + expressions.const(bias, [1, units]))
    y.name = "y"
    expressions.save([y], str(path))


def largest_error() -> float:
    """Return the largest difference between MNN's output of `relu(x @ w + b)` and numpy's, on one row of 8 numbers."""
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(FEATURES, UNITS)).astype(np.float32)
    bias = generator.normal(size=UNITS).astype(np.float32)
    row = generator.normal(size=(1, FEATURES)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, capture():
        path = Path(folder) / "self-test.mnn"
        write_dense_layer(path, weights, bias)
        computed = load_model(path).run(row)
    outputs = list(computed.values()) if isinstance(computed, dict) else computed
    return float(np.max(np.abs(np.asarray(outputs[0]) - np.maximum(row @ weights + bias, 0))))


def main() -> None:
    """Print the answer; an error of ours is one line on stderr and exit status 1."""
    try:
        answer = {"version": mnn().version(), "largest_error": largest_error()}
    except EdgeloopError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
