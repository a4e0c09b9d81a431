"""What a breakpoint on one operator costs that never hits: with it and without, in turns in one run, the best of all rounds.

One is made by the script, one from outside of it, which would wait at the operator.
The network has the shape of MobileNetV2. The operator of the bar has an output of the median size; the one with the largest output
tells the worst case, a selector that matches nothing what is paid where nothing is asked.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from figures import Figure, interleaved, publish, ratio
from tracing import save_network

import edgeloop_task
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_task import OperatorHit
from edgeloop_task.outside_breakpoints import OutsideBreakpoints

ROUNDS = 60
BAR = 1.05
WORST_BAR = 1.2
NOTHING_BAR = 1.02
CONDITION = "nan_count > 0 or abs_max > 1e30"


def measure() -> list[Figure]:
    """Return the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mnn"
        save_network(path)
        image = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
        model = edgeloop_task.load_model(path)
        by_size = _operators_by_size(model, image)
        names = {"median": by_size[len(by_size) // 2], "largest": by_size[-1], "no such": "nothing*"}
        breakpoints = {
            label: edgeloop_task.break_on(f"op:{name}", CONDITION, action="abort") for label, name in names.items()
        }

        outside = OutsideBreakpoints(Path(folder))
        order = OperatorBreakpointOrder("b1", f"op:{names['median']}", when=CONDITION, action="wait", hit=">= 1")

        @contextmanager
        def from_outside() -> Iterator[None]:
            outside.set((order,))
            try:
                yield
            finally:
                outside.set(())

        def run(context: Callable[[], AbstractContextManager[object]]) -> Callable[[], float]:
            def one() -> float:
                with context():
                    begin = time.perf_counter_ns()
                    model.run(image)
                    return (time.perf_counter_ns() - begin) / 1e6

            return one

        contestants = {"plain": run(nullcontext), "outside": run(from_outside)}
        for label, one in breakpoints.items():
            contestants[label] = run(lambda one=one: one)  # type: ignore[misc]
        samples = interleaved(ROUNDS, contestants, warm_up=5)
    plain = samples["plain"]
    return [
        ratio("one operator, never hit / plain", BAR, samples["median"], plain, unit="ms", of=min),
        ratio("the same from outside / plain", BAR, samples["outside"], plain, unit="ms", of=min),
        ratio("largest operator, never hit / plain", WORST_BAR, samples["largest"], plain, unit="ms", of=min),
        ratio("no such operator / plain", NOTHING_BAR, samples["no such"], plain, unit="ms", of=min),
    ]


def _operators_by_size(
    model: edgeloop_task.Model, image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> list[str]:
    """Return the names of all operators, those with small outputs first."""
    sizes: dict[str, int] = {}

    def note(hit: OperatorHit) -> None:
        sizes[hit.name] = hit.statistics.count

    with edgeloop_task.break_on("*", action=note, reports=0):
        model.run(image)
    return sorted(sizes, key=sizes.__getitem__)


if __name__ == "__main__":
    publish("operators", measure)
