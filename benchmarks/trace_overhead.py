"""What a trace costs: traced over plain inference of a MobileNetV2-shaped network, interleaved in one run.

Prints one JSON object; the ratio is of medians, the cost per operator in microseconds.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import edgeloop_task
import numpy as np
from edgeloop_task import reporting
from edgeloop_task.engine import mnn
from edgeloop_task.native_output import capture

ROUNDS = 40
STAGES = (
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)  # channels, blocks, stride


def save_network(path: Path) -> None:
    """Write a network with the shape of MobileNetV2 (Sandler et al., 2018) and random weights."""
    mnn()
    with capture():
        import MNN.expr as F  # noqa: N812
        from MNN import nn

    same = F.Padding_Mode.SAME

    def layer(
        x: Any, inputs: int, outputs: int, size: int, stride: int = 1, depthwise: bool = False, clip: bool = True
    ) -> Any:
        kernel = nn.conv(inputs, outputs, [size, size], stride=[stride, stride], padding_mode=same, depthwise=depthwise)
        y = kernel.forward(x)
        return F.relu6(y) if clip else y

    image = F.placeholder([1, 3, 224, 224], F.NCHW)
    image.name = "image"
    x, channels = layer(F.convert(image, F.NC4HW4), 3, 32, 3, 2), 32
    for outputs, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride, wide = (first_stride if block == 0 else 1), channels * 6
            y = layer(layer(x, channels, wide, 1), wide, wide, 3, stride, depthwise=True)
            y = layer(y, wide, outputs, 1, clip=False)
            x, channels = (F.add(x, y) if stride == 1 and channels == outputs else y), outputs
    x = F.convert(F.avg_pool(layer(x, channels, 1280, 1), [7, 7], [7, 7]), F.NCHW)
    x.name = "features"
    F.save([x], str(path))


class Discard(reporting.ConsoleReporter):
    """Takes a trace and forgets it, as the companion's channel does at once."""

    events = 0

    def trace_batch(self, data: bytes) -> None:
        """Count the bytes of the batch."""
        self.events += len(data)

    def operator_table(self, table: Any) -> None:
        """Keep how many operators there are."""
        self.operators = len(table.operators)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mnn"
        save_network(path)
        model = edgeloop_task.load_model(path)
        sink = Discard()
        reporting.use(sink)
        image = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
        plain, traced = [], []
        for number in range(ROUNDS + 3):
            begin = time.perf_counter_ns()
            model.run(image)
            middle = time.perf_counter_ns()
            with edgeloop_task.trace():
                model.run(image)
            end = time.perf_counter_ns()
            if number >= 3:
                plain.append(middle - begin)
                traced.append(end - middle)
    ratio = statistics.median(traced) / statistics.median(plain)
    extra = (statistics.median(traced) - statistics.median(plain)) / sink.operators / 1000
    result = {
        "figure": "traced / plain inference",
        "ratio": round(ratio, 4),
        "bar": 1.05,
        "operators": sink.operators,
        "us_per_operator": round(extra, 2),
        "plain_ms": round(statistics.median(plain) / 1e6, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
