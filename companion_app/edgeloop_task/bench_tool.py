"""The benchmark as it runs on a device: `python -m edgeloop_task.bench_tool TASK`, where TASK is a `BenchTask` as JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.benchmarks import BenchResult, BenchTask, Cell, CellResult, Measurement, ProcessorReading, Round
from edgeloop_shared.codec import decode_json, encode
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.messages import MAX_FRAME_BYTES
from edgeloop_shared.processor_state import processor_state
from edgeloop_task.benchmarking import MeasuredRound, Subject, all_runs, in_rounds, noise
from edgeloop_task.inside_use import Recorded, compare_inside, record_script
from edgeloop_task.model import Model, load_model
from edgeloop_task.reporting import report_result
from edgeloop_task.sample_inputs import first_sample, in_order
from edgeloop_task.tensor_comparison import TensorComparison
from edgeloop_task.tensors import fitting_arrays
from edgeloop_task.throttling import throttling

Outputs = Mapping[str, NDArray[Any]]
Sample = Mapping[str, NDArray[Any]]
MAX_REASON = 1000


def run_bench(task: BenchTask, say: Callable[[str], None]) -> BenchResult:
    """Measure what `task` asks for; `say` hears of what is done. Raises what the first model's loading and the script raise."""
    recorded = None
    if task.inside is not None:
        say(f"running {task.inside} and watching its runs of {task.cells[0].model}")
        recorded = record_script(task.inside, task.inside_arguments, Path(task.cells[0].model))
    with load_model(task.reference, precision="high") as reference:
        sample, described = _sample(task, reference, recorded)
        expected = reference.run(*in_order(sample, reference))
    cells = task.cells if recorded is None else tuple(dict.fromkeys((recorded.cell, *task.cells)))
    tried = {cell: _try(cell, sample, expected) for cell in cells}
    subjects = {cell: found.subject for cell, found in tried.items() if isinstance(found, _Usable)}
    begin = time.monotonic()
    readings = [_reading(begin)]

    def on_round(cell: Cell, number: int) -> None:
        readings.append(_reading(begin))
        say(f"round {number + 1} of {task.rounds}: {cell}")

    measured = in_rounds(subjects, rounds=task.rounds, runs=task.runs, on_round=on_round)
    results = tuple(
        CellResult(cell, reason=found) if isinstance(found, str) else _result(cell, found, measured[cell])
        for cell, found in tried.items()
    )
    inside = None
    if recorded is not None and isinstance(tried[recorded.cell], _Usable):
        inside = compare_inside(recorded, [one.timing.p50_ms for one in measured[recorded.cell]])
    medians = [[one.timing.p50_ms for one in rounds] for rounds in measured.values()]
    return BenchResult(described, results, throttling(medians, readings), inside)


@dataclass(frozen=True)
class _Usable:
    """A cell that runs: how to measure it, and what its outputs are worth."""

    subject: Subject
    cosine: float
    not_finite: int
    is_exact: bool


def _try(cell: Cell, sample: Sample, expected: Outputs) -> _Usable | str:
    """Run a cell once and compare its outputs; return why that is impossible as text."""

    def load() -> Model:
        return load_model(cell.model, backend=cell.backend, precision=cell.precision, threads=cell.threads)

    try:
        with load() as model:
            arrays = list(fitting_arrays(model.path.name, model.inputs, (), dict(sample)).values())
            found = model.run(*arrays)
    except EdgeloopError as error:
        if error.details.get("lacks_backend"):
            return "this build of MNN or this device lacks that backend; MNN would silently run it on the CPU"
        return _plain(error.message)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cell.backend == "cpu" and cell.threads > cores:
        return f"the device has {cores} core{'s' * (cores > 1)}"
    if {name: array.shape for name, array in found.items()} != {name: array.shape for name, array in expected.items()}:
        return "its outputs have other names or shapes than the reference's"
    return _Usable(
        Subject(load, arrays),
        cosine=min(TensorComparison(found[name], array).cosine for name, array in expected.items()),
        not_finite=sum(int(np.count_nonzero(~np.isfinite(array))) for array in found.values()),
        is_exact=all(found[name].tobytes() == array.tobytes() for name, array in expected.items()),
    )


def _result(cell: Cell, found: _Usable, rounds: Sequence[MeasuredRound]) -> CellResult:
    timing = all_runs(rounds)
    unstable = sum(not one.is_stable for one in rounds)
    notes = []
    if found.is_exact and cell.precision == "low":
        notes.append("no bit differs from fp32: this backend computes in fp32 whatever precision is asked for")
    if unstable:
        notes.append(f"did not settle while warming up in {unstable} of {len(rounds)} rounds")
    measurement = Measurement(
        rounds=tuple(_round(one) for one in rounds),
        p50_ms=timing.p50_ms,
        p90_ms=timing.p90_ms,
        p99_ms=timing.percentile_ms(99),
        deciles_ms=tuple(timing.percentile_ms(percent) for percent in range(10, 100, 10)),
        noise=noise([one.timing.p50_ms for one in rounds]),
        session_memory_bytes=rounds[0].session_memory_bytes,
        peak_memory_bytes=max(one.peak_memory_bytes for one in rounds),
        cosine=found.cosine,
        not_finite=found.not_finite,
        is_exact=found.is_exact,
    )
    return CellResult(cell, measurement, note="; ".join(notes))


def _round(one: MeasuredRound) -> Round:
    return Round(
        load_ms=one.load_ms,
        first_ms=one.first_ms,
        warmup_runs=one.warmup_runs,
        is_stable=one.is_stable,
        runs=len(one.timing.samples_ns),
        p50_ms=one.timing.p50_ms,
        p90_ms=one.timing.p90_ms,
        p99_ms=one.timing.percentile_ms(99),
    )


def _sample(task: BenchTask, reference: Model, recorded: Recorded | None) -> tuple[Sample, str]:
    if task.inputs is None and recorded is not None:
        return recorded.sample(reference.inputs), f"the first inputs that {task.inside} gave the model"
    return first_sample(None if task.inputs is None else Path(task.inputs), reference.inputs)


def _reading(begin: float) -> ProcessorReading:
    state = processor_state()
    return ProcessorReading(time.monotonic() - begin, state.megahertz, state.celsius)


def _plain(text: str) -> str:
    """Return a message in one line that any peer takes."""
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_REASON]


def main() -> None:
    """Measure, say on stderr how far that is, and report the result as `bench`."""
    task = decode_json(BenchTask, sys.argv[1], max_bytes=MAX_FRAME_BYTES)
    np.seterr(all="ignore")  # outputs that are not finite are counted, not warned about
    result = run_bench(task, _say)
    report_result(bench=encode(result))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
