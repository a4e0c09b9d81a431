"""Benchmarks of models on a device: what the device is asked to measure, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.models import NAME_PATTERN

Precision = Literal["normal", "low", "high"]
Backend = Literal["cpu", "opencl", "vulkan", "metal", "cuda", "nn"]

MAX_CELLS = 64
MAX_ROUNDS = 50
MAX_RUNS = 100_000
MAX_THREADS = 64
WORDS = {"max_length": 2000, "pattern": NAME_PATTERN}
_PATH = {"min_length": 1, "max_length": 512, "pattern": NAME_PATTERN}


@dataclass(frozen=True)
class Cell:
    """One place of the matrix: a model file, by its path in the bundle, and how MNN is asked to run it."""

    model: str = field(metadata=_PATH)
    backend: Backend = "cpu"
    precision: Precision = "normal"
    threads: int = field(default=1, metadata={"ge": 1, "le": MAX_THREADS})

    def __str__(self) -> str:
        return f"{self.model} on {self.backend}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True)
class BenchTask:
    """What to measure: every cell in `rounds` interleaved rounds, `runs` timed runs per cell over all rounds.

    The cells' outputs are compared with those of `reference` in fp32 on the CPU. `inputs` is an `.npz` or `.npy` in the bundle (its
    first sample is taken); without it the numbers are random. `inside` is a script of the bundle that runs first, with
    `inside_arguments`: its own runs of the first cell's model are recorded and compared.
    """

    cells: tuple[Cell, ...] = field(metadata={"min_length": 1, "max_length": MAX_CELLS})
    reference: str = field(metadata=_PATH)
    inputs: str | None = None
    rounds: int = field(default=5, metadata={"ge": 1, "le": MAX_ROUNDS})
    runs: int = field(default=100, metadata={"ge": 1, "le": MAX_RUNS})
    inside: str | None = None
    inside_arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 256})


@dataclass(frozen=True)
class Round:
    """One round of a cell, times in milliseconds: a fresh load, the first run, runs until stable, and the timed runs.

    `is_stable` says whether the warm-up ended because the times had settled, not because it had lasted long enough.
    """

    load_ms: float
    first_ms: float
    warmup_runs: int
    is_stable: bool
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Measurement:
    """What was measured in a cell; percentiles are over the timed runs of all rounds, `deciles_ms` p10 to p90.

    `noise` is the part of the median below which a difference to another measurement means nothing. `session_memory_bytes` is
    what MNN says its session takes (0: it does not say), `peak_memory_bytes` the worker's peak over what it took before
    the model was loaded. `cosine` is that of the outputs to the reference's, the worst one of several outputs;
    `not_finite` counts NaN and infinite values in them; `is_exact` says that no bit of them differs.
    """

    rounds: tuple[Round, ...] = field(metadata={"min_length": 1, "max_length": MAX_ROUNDS})
    p50_ms: float
    p90_ms: float
    p99_ms: float
    deciles_ms: tuple[float, ...] = field(metadata={"min_length": 9, "max_length": 9})
    noise: float
    session_memory_bytes: int
    peak_memory_bytes: int
    cosine: float
    not_finite: int
    is_exact: bool

    @property
    def rounds_p50_ms(self) -> tuple[float, ...]:
        """The medians of the rounds."""
        return tuple(one.p50_ms for one in self.rounds)


@dataclass(frozen=True)
class CellResult:
    """A cell with its measurement; without one `reason` says why. `note` says what else must be known to read the figures."""

    cell: Cell
    measurement: Measurement | None = None
    reason: str = field(default="", metadata=WORDS)
    note: str = field(default="", metadata=WORDS)


@dataclass(frozen=True)
class ProcessorReading:
    """The processor at a moment, in seconds since the benchmark began: the mean of its cores' clocks and its hottest zone.

    None where the device does not say it.
    """

    seconds: float
    megahertz: float | None
    celsius: float | None


@dataclass(frozen=True)
class Throttling:
    """Whether the device slowed down. `trend` is the last rounds' time over the first rounds' (None: too few rounds)."""

    verdict: Literal["none", "throttled", "slowed", "unknown"]
    words: str = field(metadata=WORDS)
    trend: float | None = None
    readings: tuple[ProcessorReading, ...] = field(default=(), metadata={"max_length": 4096})


@dataclass(frozen=True)
class InsideUse:
    """A script's own runs of a model beside the same model alone, medians in milliseconds.

    `call_ms` is a whole `model.run`: waiting for another thread's run of the same model, the inputs' conversion and copy,
    MNN's computation, the outputs' copy. `alone_ms` is the computation in the benchmark. `off_cpu_ms` is how long the calling
    thread did not run while MNN computed (None with several threads, where it cannot be told); `between_ms` what the
    script does between two runs. The parts' medians need not add up to the call's.
    """

    script: str = field(metadata=_PATH)
    cell: Cell
    runs: int
    call_ms: float
    waiting_ms: float
    input_ms: float
    compute_ms: float
    output_ms: float
    between_ms: float | None
    off_cpu_ms: float | None
    alone_ms: float
    is_beyond_noise: bool
    words: tuple[str, ...] = field(metadata={"max_length": 16})


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark found. `inputs` says what the models were fed with."""

    inputs: str = field(metadata=WORDS)
    cells: tuple[CellResult, ...] = field(metadata={"max_length": MAX_CELLS})
    throttling: Throttling
    inside: InsideUse | None = None
