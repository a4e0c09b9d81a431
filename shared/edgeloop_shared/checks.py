"""Checks: what a workspace expects of its models and scripts on a device, and what was found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeloop_shared.benchmarks import MAX_ROUNDS, MAX_RUNS, MAX_THREADS, WORDS, Backend, Cell, Precision

MAX_CHECKS = 200
_PATH = {"min_length": 1, "max_length": 512}


@dataclass(frozen=True)
class Check:
    """The table `[check.NAME]`: a model or a script, and what is expected of it."""

    model: str | None = field(default=None, metadata={**_PATH, "description": "The MNN model that is checked."})
    inputs: str | None = field(
        default=None,
        metadata={
            **_PATH,
            "description": "An `.npz` with an array per input name, whose first axis counts samples. Random numbers by default.",
        },
    )
    labels: str = field(
        default="labels",
        metadata={"min_length": 1, "description": "The array of the `.npz` that holds each sample's right class."},
    )
    backend: Backend = field(default="cpu", metadata={"description": "MNN's backend."})
    precision: Precision = field(default="normal", metadata={"description": "MNN's precision."})
    threads: int = field(default=1, metadata={"ge": 1, "le": MAX_THREADS, "description": "How many threads."})
    min_accuracy: float | None = field(
        default=None, metadata={"ge": 0, "le": 1, "description": "The least part of the samples with the right class."}
    )
    reference: str | None = field(
        default=None, metadata={**_PATH, "description": "The model whose fp32 outputs `min_cosine` compares with."}
    )
    min_cosine: float | None = field(
        default=None,
        metadata={
            "ge": -1,
            "le": 1,
            "description": "The least cosine of the outputs to the reference's, over all samples.",
        },
    )
    max_latency_ratio: float | None = field(
        default=None,
        metadata={
            "gt": 0,
            "description": "How many times the baseline's latency is the most; a difference within the noise never fails.",
        },
    )
    max_bytes: int | None = field(
        default=None, metadata={"ge": 0, "description": "The most bytes of the model, weights beside it included."}
    )
    script: str | None = field(
        default=None, metadata={**_PATH, "description": "A script that runs on the device instead of a model."}
    )
    arguments: tuple[str, ...] = field(
        default=(), metadata={"max_length": 256, "description": "The script's arguments."}
    )
    min_results: Mapping[str, float] = field(
        default_factory=dict,
        metadata={"max_length": 64, "description": "The least values of numbers that the script reports as results."},
    )
    max_results: Mapping[str, float] = field(
        default_factory=dict,
        metadata={"max_length": 64, "description": "The most values of numbers that the script reports as results."},
    )

    @property
    def cell(self) -> Cell:
        """The model with the way to run it."""
        assert self.model is not None
        return Cell(self.model, self.backend, self.precision, self.threads)


@dataclass(frozen=True)
class CheckTask:
    """The checks by name, with paths of the bundle; latencies take `rounds` and `runs` as a benchmark does."""

    checks: Mapping[str, Check] = field(metadata={"max_length": MAX_CHECKS})
    rounds: int = field(default=5, metadata={"ge": 1, "le": MAX_ROUNDS})
    runs: int = field(default=100, metadata={"ge": 1, "le": MAX_RUNS})


@dataclass(frozen=True)
class CheckFigures:
    """What was found for one check. What was not asked for, or could not be found because of `error`, is None or empty.

    `cosine` is the worst one of all samples and outputs; `rounds_p50_ms` the medians of the interleaved rounds; `results` the
    numbers that the script reported.
    """

    error: str = field(default="", metadata=WORDS)
    samples: int = 0
    accuracy: float | None = None
    cosine: float | None = None
    bytes: int | None = None
    rounds_p50_ms: tuple[float, ...] = field(default=(), metadata={"max_length": MAX_ROUNDS})
    results: Mapping[str, float] = field(default_factory=dict, metadata={"max_length": 1024})


@dataclass(frozen=True)
class CheckResult:
    """What was found for all checks, by name."""

    checks: Mapping[str, CheckFigures] = field(metadata={"max_length": MAX_CHECKS})
