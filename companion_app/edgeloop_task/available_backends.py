"""`python -m edgeloop_task.available_backends`: print MNN's version and the backends that work here, as JSON.

Whether a backend is there shows when a session asks for it: MNN runs the model on the CPU otherwise, without a word.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgeloop_shared.errors import EdgeloopError, ModelError
from edgeloop_task.engine import mnn
from edgeloop_task.model import BACKENDS, load_model
from edgeloop_task.native_output import capture
from edgeloop_task.self_test import write_dense_layer


def available_backends() -> tuple[str, ...]:
    """Return those of `BACKENDS` on which a tiny model runs. Raises `ModelError` when MNN is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.mnn"
        with capture():
            write_dense_layer(path, np.ones((4, 2), np.float32), np.zeros(2, np.float32))
        return tuple(backend for backend in BACKENDS if _runs_on(backend, path))


def _runs_on(backend: str, path: Path) -> bool:
    try:
        with load_model(path, backend=backend) as model:
            model.run(np.ones((1, 4), np.float32))
    except ModelError:
        return False
    return True


def main() -> None:
    """Print the answer; an error of ours is one line on stderr and exit status 1."""
    try:
        answer = {"version": mnn().version(), "backends": available_backends()}
    except EdgeloopError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
