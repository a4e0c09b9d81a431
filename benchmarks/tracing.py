"""What a trace costs: traced and plain inference interleaved in one run.

A network with the shape of MobileNetV2 tells the ratio, a chain of tiny operators what one operator costs.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, interleaved, publish, ratio, spread
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_shared.traces import OperatorTable
from edgeloop_task import reporting
from edgeloop_task.engine import mnn
from edgeloop_task.native_output import capture

ROUNDS = 40
RATIO_BAR = 1.05
MICROSECONDS_BAR = 3.0  # per operator
SPAN_OFF_BAR = 3.0
SPAN_ON_BAR = 10.0  # microseconds
SPANS = 2000
CHAIN = 500  # tiny operators
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


def save_chain(path: Path) -> None:
    """Write a chain of operators that take next to no time."""
    mnn()
    with capture():
        import MNN.expr as F  # noqa: N812
    x = y = F.placeholder([1, 4], F.NCHW)
    x.name = "x"
    for _ in range(CHAIN // 2):
        y = F.tanh(F.sin(y))
    F.save([y], str(path))


class Discard(reporting.ConsoleReporter):
    """Takes a trace and forgets it, as the companion's channel does at once."""

    operators = 0

    def trace_batch(self, data: bytes) -> None:
        """Forget the batch."""

    def operator_table(self, table: OperatorTable) -> None:
        """Keep how many operators there are."""
        self.operators = len(table.operators)


def runs(model: edgeloop_task.Model, inputs: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Return the milliseconds of plain and of traced runs, taken in turns."""

    def plain() -> float:
        begin = time.perf_counter_ns()
        model.run(inputs)
        return (time.perf_counter_ns() - begin) / 1e6

    def traced() -> float:
        begin = time.perf_counter_ns()
        with edgeloop_task.trace():
            model.run(inputs)
        return (time.perf_counter_ns() - begin) / 1e6

    samples = interleaved(ROUNDS, {"plain": plain, "traced": traced}, warm_up=3)
    return samples["plain"], samples["traced"]


def measure() -> list[Figure]:
    """Return both figures."""
    sink = Discard()
    reporting.use(sink)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mnn"
        save_network(path)
        image = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
        plain, traced = runs(edgeloop_task.load_model(path), image)
        whole = ratio("traced / plain inference", RATIO_BAR, traced, plain, unit="ms")

        path = Path(folder) / "chain.mnn"
        save_chain(path)
        plain, traced = runs(edgeloop_task.load_model(path), np.ones((1, 4), np.float32))
        costs = [(with_it - without) / sink.operators * 1000 for with_it, without in zip(traced, plain, strict=True)]
        cost = Figure(
            "tracing a tiny operator",
            statistics.median(costs),
            MICROSECONDS_BAR,
            unit="µs",
            spread=spread(costs),
            measured={"operators": sink.operators},
        )
    return [whole, cost, *spans()]


def spans() -> list[Figure]:
    """Return what a span costs: when nobody traces, as a ratio to a block that does nothing, and when somebody does."""

    def nothing() -> float:
        begin = time.perf_counter_ns()
        for _ in range(SPANS):
            with contextlib.nullcontext():
                pass
        return (time.perf_counter_ns() - begin) / SPANS

    def per_span() -> float:
        begin = time.perf_counter_ns()
        for _ in range(SPANS):
            with edgeloop_task.span("pre"):
                pass
        return (time.perf_counter_ns() - begin) / SPANS

    def recorded() -> float:
        with edgeloop_task.trace():
            return per_span() / 1000

    samples = interleaved(ROUNDS, {"nothing": nothing, "off": per_span, "on": recorded}, warm_up=3)
    off = ratio("a span nobody traces / nullcontext", SPAN_OFF_BAR, samples["off"], samples["nothing"], unit="ns")
    on = Figure("a span, traced", statistics.median(samples["on"]), SPAN_ON_BAR, "µs", spread=spread(samples["on"]))
    return [off, on]


if __name__ == "__main__":
    publish("tracing", measure)
