"""What the device runs. `python run.py` runs the same on this computer.

Without an argument it reports one number; with a model's path it runs the model once on random numbers and times it.
"""

import sys

import numpy as np

import edgeloop_task


def main() -> None:
    """Say hello, or run the model that was named."""
    if len(sys.argv) < 2:
        edgeloop_task.report_result(sum=float(np.arange(10).sum()))
        print("Hello from edgeloop. Name a model to run it: run.py model.mnn")
        return

    model = edgeloop_task.load_model(sys.argv[1])
    random = np.random.default_rng(0)
    inputs = [random.random(tensor.shape).astype(tensor.dtype) for tensor in model.inputs]
    for name, array in model.run(*inputs).items():
        print(f"{name}: shape {array.shape}, mean {array.mean():.4f}")

    if len(inputs) == 1:
        timing = model.time(inputs[0], repeats=50)
        edgeloop_task.report_result(p50_ms=timing.p50_ms, p90_ms=timing.p90_ms)


if __name__ == "__main__":
    main()
