"""The one way in which edgeloop measures how fast models are: fresh loads, warm until stable, in interleaved rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from edgeloop_shared.significance import REPEATABLE
from edgeloop_task.memory_use import give_back, memory
from edgeloop_task.model import Model
from edgeloop_task.timing import Timing

WINDOW = 5  # runs whose median is compared with that of the runs before
STABLE = 0.03  # a part of the median
WARMUP_RUNS = 60
WARMUP_SECONDS = 1.0
ROUND_SECONDS = 10.0
K = TypeVar("K")


@dataclass(frozen=True)
class Subject:
    """What is measured: how to load it, and the arrays of a run in the order of its inputs."""

    load: Callable[[], Model]
    arrays: Sequence[NDArray[Any]]


@dataclass(frozen=True)
class MeasuredRound:
    """One round of a subject: loaded anew, run once, warmed up, and timed. Memory in bytes, as `Measurement` says."""

    load_ms: float
    first_ms: float
    warmup_runs: int
    is_stable: bool
    timing: Timing
    session_memory_bytes: int
    peak_memory_bytes: int


def in_rounds(
    subjects: Mapping[K, Subject],
    *,
    rounds: int,
    runs: int,
    round_seconds: float = ROUND_SECONDS,
    on_round: Callable[[K, int], None] = lambda _key, _number: None,
) -> dict[K, list[MeasuredRound]]:
    """Measure all subjects in turns, A B C A B C, so that a drifting clock or a busy neighbour hits all alike.

    Each is timed `runs` times over all rounds, fewer where a round would take more than `round_seconds`. `on_round` hears of each
    round of a subject that has ended. Raises what loading and running raise.
    """
    measured: dict[K, list[MeasuredRound]] = {key: [] for key in subjects}
    for number in range(rounds):
        for key, subject in subjects.items():
            wanted = runs // rounds + (number < runs % rounds)
            measured[key].append(measure_round(subject, max(1, wanted), round_seconds))
            on_round(key, number)
    return measured


def measure_round(subject: Subject, runs: int, seconds: float) -> MeasuredRound:
    """Load, warm up and time a model. One that stays loaded would show its own memory's layout, not the model's speed."""
    give_back()
    before = memory(reset_peak=True).current_bytes
    begin = time.perf_counter()
    with subject.load() as model:
        loaded = time.perf_counter()
        first = model.time(*subject.arrays, warmup=0, repeats=1).samples_ns[0]
        warmup_runs, is_stable = _warm_up(model, subject.arrays, first)
        affordable = max(1, min(runs, int(seconds * 1e9 / max(first, 1))))
        timing = model.time(*subject.arrays, warmup=1, repeats=affordable)
        return MeasuredRound(
            load_ms=(loaded - begin) * 1000,
            first_ms=first / 1e6,
            warmup_runs=warmup_runs,
            is_stable=is_stable,
            timing=timing,
            session_memory_bytes=model.session_memory_bytes,
            peak_memory_bytes=max(0, memory().peak_bytes - before),
        )


def all_runs(rounds: Sequence[MeasuredRound]) -> Timing:
    """Return the timed runs of all rounds."""
    return Timing(tuple(sample for one in rounds for sample in one.timing.samples_ns))


def noise(rounds_ms: Sequence[float]) -> float:
    """Return the part of the median that the rounds' medians are apart, at least what differs from start to start anyhow."""
    return max(REPEATABLE, (max(rounds_ms) - min(rounds_ms)) / statistics.median(rounds_ms))


def _warm_up(model: Model, arrays: Sequence[NDArray[Any]], first_ns: int) -> tuple[int, bool]:
    """Run until the medians of two windows in a row differ by at most 3 %; return how many runs that took, and if they did."""
    window = WINDOW if first_ns < WARMUP_SECONDS * 1e9 / WARMUP_RUNS * WINDOW else 1
    begin = time.monotonic()
    done, before = 0, math.inf
    while done < WARMUP_RUNS and time.monotonic() - begin < WARMUP_SECONDS:
        now = statistics.median(model.time(*arrays, warmup=0, repeats=window).samples_ns)
        done += window
        if abs(now - before) <= STABLE * now:
            return done, True
        before = now
    return done, False
