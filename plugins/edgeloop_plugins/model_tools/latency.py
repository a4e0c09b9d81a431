"""Latency of several models on this computer, by edgeloop's one way to measure it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import edgeloop_task
from edgeloop_plugins.model_tools.results import Latency
from edgeloop_shared.significance import latency_difference
from edgeloop_task.benchmarking import MeasuredRound, Subject, all_runs, in_rounds
from edgeloop_task.sample_inputs import Sample, in_order

ROUNDS = 5
RUNS = 500
ROUND_SECONDS = 0.1


def latencies(models: Sequence[Path], sample: Sample, on_fraction: Callable[[float], None]) -> list[Latency]:
    """Return each model's latency on `sample`; `on_fraction` hears the part of the work that is done, 0 to 1."""
    subjects = {index: _subject(path, sample) for index, path in enumerate(models)}
    measured = in_rounds(
        subjects,
        rounds=ROUNDS,
        runs=RUNS,
        round_seconds=ROUND_SECONDS,
        on_round=lambda index, number: on_fraction((number * len(models) + index + 1) / (ROUNDS * len(models))),
    )
    return [_latency(rounds) for rounds in measured.values()]


def verdict(variant: Latency, reference: Latency) -> str:
    """Return `faster` or `slower`, or `below the noise`: where rounds overlap, or the medians differ by less than 3 %."""
    difference = latency_difference(variant.rounds_p50_ms, reference.rounds_p50_ms)
    if difference.is_noise:
        return "below the noise"
    return "slower" if difference.value > 0 else "faster"


def _subject(path: Path, sample: Sample) -> Subject:
    def load() -> edgeloop_task.Model:
        return edgeloop_task.load_model(path, threads=1)

    with load() as model:
        return Subject(load, in_order(sample, model))


def _latency(rounds: Sequence[MeasuredRound]) -> Latency:
    timing = all_runs(rounds)
    return Latency(timing.p50_ms, timing.p90_ms, tuple(one.timing.p50_ms for one in rounds))
