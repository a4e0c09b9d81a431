"""A script's own runs of a model beside the same model alone."""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from edgeloop_shared.benchmarks import Backend, Cell, InsideUse, Precision
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.significance import latency_difference
from edgeloop_task import run_times
from edgeloop_task.child_script import ran_in_child, run_script
from edgeloop_task.tensors import TensorInfo, fitting_arrays

COLD_RUNS = 3  # the first runs of a script are its warm-up
GROUPS = 5  # its runs in order of time, beside the rounds of the benchmark


@dataclass(frozen=True)
class Recorded:
    """The runs of one model by a script."""

    script: str
    cell: Cell
    runs: run_times.ModelRuns

    def sample(self, inputs: Sequence[TensorInfo]) -> Mapping[str, NDArray[Any]]:
        """Return the inputs of the script's first run."""
        return fitting_arrays(self.cell.model, inputs, self.runs.arrays, self.runs.named)


def record_script(script: str, arguments: Sequence[str], model: Path) -> Recorded:
    """Run a script as `python SCRIPT ARGUMENTS` would, and return its runs of `model`: of the options it used most.

    It runs in a process of its own, so that its threads and memory are gone when the model is measured alone. Raises
    `TaskFailedError` if it fails, and `InvalidInputError` if it never runs that model.
    """

    def record(folder: Path) -> None:
        with run_times.recording() as recorder:
            run_script(script, arguments)
        run_times.save(recorder.found.values(), folder)

    with ran_in_child(script, record) as folder:
        found = run_times.load(folder)
    of_model = [runs for runs in found if Path(runs.path) == model.resolve()]
    if not of_model:
        ran = sorted({os.path.relpath(runs.path) for runs in found})
        raise InvalidInputError(
            f"{script} did not run {model}; it ran {', '.join(ran) or 'no model'}.",
            hint="Name a model that the script loads with edgeloop_task.load_model and runs with run(...) or as a function.",
        )
    most = max(of_model, key=lambda runs: len(runs.runs))
    cell = Cell(str(model), cast("Backend", most.backend), cast("Precision", most.precision), most.threads)
    return Recorded(script, cell, most)


def compare_inside(recorded: Recorded, alone_ms: Sequence[float]) -> InsideUse:
    """Compare the script's runs with the medians of the benchmark's rounds of the same model and options."""
    runs = recorded.runs.runs[COLD_RUNS:] or recorded.runs.runs
    compute = [(run.computed - run.fed) / 1e6 for run in runs]
    alone = statistics.median(alone_ms)
    groups = [statistics.median(group) for group in _groups(compute)]
    difference = latency_difference(groups, alone_ms)
    single = recorded.cell.threads == 1
    use = InsideUse(
        script=recorded.script,
        cell=recorded.cell,
        runs=len(runs),
        call_ms=_median(run.ended - run.asked for run in runs),
        waiting_ms=_median(run.begun - run.asked for run in runs),
        input_ms=_median(run.fed - run.begun for run in runs),
        compute_ms=statistics.median(compute),
        output_ms=_median(run.ended - run.computed for run in runs),
        between_ms=_median(b.asked - a.ended for a, b in itertools.pairwise(runs)) if len(runs) > 1 else None,
        off_cpu_ms=_median(run.off_cpu for run in runs) if single else None,
        alone_ms=alone,
        is_beyond_noise=not difference.is_noise,
        words=(),
    )
    return replace(use, words=tuple(_words(use)))


def _words(use: InsideUse) -> Iterable[str]:
    """Yield what makes the script's runs slower, the largest part first."""
    extra = use.compute_ms - use.alone_ms
    if use.is_beyond_noise and extra > 0:
        off = use.off_cpu_ms or 0.0
        if off > extra / 2:
            cause = f"its thread stood still for {off:.2f} ms of it, so others took the core (contention)"
        elif use.off_cpu_ms is None:
            cause = "cold caches, a lower clock between runs, or contention for its threads' cores"
        else:
            cause = "cold caches, or a clock that falls between runs, for its thread kept its core"
        yield f"MNN computes {extra:.2f} ms longer than alone: {cause}"
    elif use.is_beyond_noise:
        yield f"MNN computes {-extra:.2f} ms shorter than alone; the benchmark met a slower moment of the device"
    else:
        yield "MNN computes as fast as alone, within the noise"
    around = {
        "waiting for another thread's run": use.waiting_ms,
        "converting and copying the inputs": use.input_ms,
        "copying the outputs": use.output_ms,
    }
    for what, spent in sorted(around.items(), key=lambda item: -item[1]):
        if spent >= 0.01 * use.call_ms:
            yield f"{what} takes {spent:.2f} ms of each call ({spent / use.call_ms:.0%})"
    if use.between_ms is not None and use.between_ms >= 0.05 * use.call_ms:
        yield f"the script's own Python takes {use.between_ms:.2f} ms between two calls"


def _median(nanoseconds: Iterable[int]) -> float:
    return statistics.median(nanoseconds) / 1e6


def _groups(values: Sequence[float]) -> list[Sequence[float]]:
    size = max(1, len(values) // GROUPS)
    return [values[start : start + size] for start in range(0, size * min(GROUPS, len(values)), size)]
