"""What the demo found out; `edgeloop demo --json` prints it as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeloop_shared.significance import Difference


@dataclass(frozen=True)
class Latency:
    """Time per run on the device in milliseconds, over all rounds."""

    p50: float
    p90: float


@dataclass(frozen=True)
class OperatorTime:
    """One operator as the device executed it; `mean_us` is its mean time per run in microseconds."""

    name: str
    type: str
    mean_us: float


@dataclass(frozen=True)
class Variant:
    """One model file, measured on the device.

    `agreement` is the part of the samples on which the device's first choice is the host's fp32 reference's.
    `session_memory_bytes` is what MNN's session says it takes; `peak_memory_bytes` the worker's peak over its baseline
    before loading, which includes the former. `deciles_ms` are the 10th to 90th percentiles; `rounds_p50_ms` the medians
    of the interleaved rounds. The differences are to fp32 on the same device; fp32 itself has none.
    """

    name: str
    description: str
    bytes: int
    accuracy: float
    agreement: float
    latency_ms: Latency
    session_memory_bytes: int
    peak_memory_bytes: int
    deciles_ms: tuple[float, ...]
    rounds_p50_ms: tuple[float, ...]
    operators: tuple[OperatorTime, ...]
    accuracy_difference: Difference | None = None
    latency_difference: Difference | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One line of metrics that the training printed."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Training:
    """The training; `accuracy` is the one that it found on the held-out digits."""

    seconds: float
    accuracy: float
    commit: str
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class DemoResult:
    """Everything; `device` is the device's own description, `report` and `trace` are paths."""

    variants: tuple[Variant, ...]
    device: Mapping[str, Any]
    train: Training
    samples: int
    seconds: float
    report: str
    trace: str
