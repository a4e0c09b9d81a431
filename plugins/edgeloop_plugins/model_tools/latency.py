"""Latency of several models on this computer, measured in turns so that a drifting clock or a busy neighbour hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

import edgeloop_task
from edgeloop_plugins.model_tools.results import Latency
from edgeloop_plugins.model_tools.sample_inputs import Sample, in_order

ROUNDS = 15
MIN_ROUNDS = 3
ROUND_SECONDS = 0.03
TOTAL_SECONDS = 20.0
LEAST_DIFFERENCE = 0.03  # of the median; where the memory of a model happens to lie makes that much


def interleaved_latency(
    models: Mapping[str, edgeloop_task.Model], sample: Sample, on_round: Callable[[float], None]
) -> dict[str, Latency]:
    """Return each model's latency on `sample`; `on_round` hears the part of the work that is done, 0 to 1.

    Every model runs once per round, `ROUND_SECONDS` long or one run; slow models get fewer rounds, at least `MIN_ROUNDS`.
    """
    once = {
        name: model.time(*in_order(sample, model), repeats=1, warmup=1).samples_ns[0] for name, model in models.items()
    }
    repeats = {name: max(1, int(ROUND_SECONDS * 1e9 / max(nanoseconds, 1))) for name, nanoseconds in once.items()}
    round_seconds = sum(max(ROUND_SECONDS, nanoseconds / 1e9) for nanoseconds in once.values())
    rounds = max(MIN_ROUNDS, min(ROUNDS, int(TOTAL_SECONDS / round_seconds)))
    samples: dict[str, list[int]] = {name: [] for name in models}
    for done in range(rounds):
        for name, model in models.items():
            samples[name].extend(
                model.time(*in_order(sample, model), repeats=min(repeats[name], 200), warmup=1).samples_ns
            )
        on_round((done + 1) / rounds)
    return {name: _latency(values) for name, values in samples.items()}


def verdict(variant: Latency, reference: Latency) -> str:
    """Return `faster` or `slower`, or `below the noise`.

    The noise is where the middle halves of the measurements overlap, or the medians differ by less than 3 %.
    """
    if abs(variant.p50_ms - reference.p50_ms) < LEAST_DIFFERENCE * reference.p50_ms:
        return "below the noise"
    if variant.p25_ms > reference.p75_ms:
        return "slower"
    if variant.p75_ms < reference.p25_ms:
        return "faster"
    return "below the noise"


def _latency(samples_ns: Sequence[int]) -> Latency:
    p25, p50, p75, p90 = (float(value) / 1e6 for value in np.percentile(samples_ns, (25, 50, 75, 90)))
    return Latency(p25, p50, p75, p90)
