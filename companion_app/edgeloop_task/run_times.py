"""How long the parts of a script's own model runs take, recorded while a benchmark listens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from edgeloop_shared.codec import decode_json, encode_json

if TYPE_CHECKING:
    from edgeloop_task.model import Model

MAX_RUNS = 100_000
_MAX_BYTES = 256 * 1024**2  # of the description of all runs


class Stopwatch:
    """The moments at which the parts of a run begin and end, and how much the thread had computed by then, in nanoseconds.

    Nothing is read unless somebody listens.
    """

    def __init__(self) -> None:
        self._listens = _Listener.recorder is not None
        self.moments: list[int] = []
        self.computed: list[int] = []
        self.lap()

    def lap(self) -> None:
        """Note this moment."""
        if self._listens:
            self.moments.append(time.perf_counter_ns())
            self.computed.append(time.thread_time_ns())


@dataclass(frozen=True)
class RunTimes:
    """The moments of one run in nanoseconds of one clock, and how long its thread did not run while MNN computed."""

    asked: int
    begun: int
    fed: int
    computed: int
    ended: int
    off_cpu: int


@dataclass
class ModelRuns:
    """The runs of one way to run one model, with the inputs of the first."""

    path: str
    backend: str
    precision: str
    threads: int
    arrays: tuple[ArrayLike, ...]
    named: Mapping[str, ArrayLike]
    runs: list[RunTimes]


class Recorder:
    """The runs that were recorded, by model file and options."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str, int], ModelRuns] = {}

    def add(
        self, model: Model, arrays: tuple[ArrayLike, ...], named: Mapping[str, ArrayLike], watch: Stopwatch
    ) -> None:
        """Add a run."""
        key = (str(model.path.resolve()), model.backend, model.precision, model.threads)
        known = self.found.setdefault(key, ModelRuns(*key, arrays, named, []))
        if len(known.runs) < MAX_RUNS:
            off_cpu = (watch.moments[3] - watch.moments[2]) - (watch.computed[3] - watch.computed[2])
            asked, begun, fed, computed, ended = watch.moments
            known.runs.append(RunTimes(asked, begun, fed, computed, ended, max(0, off_cpu)))


class _Listener:
    """The recorder of this process: models are made by scripts, which know nothing of a benchmark around them."""

    recorder: Recorder | None = None


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record all runs of all models for the block."""
    recorder = _Listener.recorder = Recorder()
    try:
        yield recorder
    finally:
        _Listener.recorder = None


def record(model: Model, arrays: tuple[ArrayLike, ...], named: Mapping[str, ArrayLike], watch: Stopwatch) -> None:
    """Give a run that has ended to the recorder, if there is one."""
    if _Listener.recorder is not None and len(watch.moments) == len(("asked", "begun", "fed", "computed", "ended")):
        _Listener.recorder.add(model, arrays, named, watch)


@dataclass(frozen=True)
class _Described:
    """`ModelRuns` but for the arrays, which lie beside it: `positional` of them without a name, then the `named` ones."""

    path: str
    backend: str
    precision: str
    threads: int
    positional: int
    named: tuple[str, ...]
    runs: tuple[RunTimes, ...] = field(metadata={"max_length": MAX_RUNS})


def save(found: Iterable[ModelRuns], folder: Path) -> None:
    """Write runs into an empty folder, from which `load` reads them in another process."""
    described = []
    for number, one in enumerate(found):
        for place, array in enumerate((*one.arrays, *one.named.values())):
            np.save(folder / f"{number}-{place}.npy", np.asarray(array), allow_pickle=False)
        described.append(
            _Described(
                one.path, one.backend, one.precision, one.threads, len(one.arrays), tuple(one.named), tuple(one.runs)
            )
        )
    (folder / "runs.json").write_bytes(encode_json(described))


def load(folder: Path) -> list[ModelRuns]:
    """Return the runs that `save` wrote."""
    described = decode_json(tuple[_Described, ...], (folder / "runs.json").read_bytes(), max_bytes=_MAX_BYTES)
    found = []
    for number, one in enumerate(described):
        count = one.positional + len(one.named)
        arrays = [np.load(folder / f"{number}-{place}.npy", allow_pickle=False) for place in range(count)]
        named = dict(zip(one.named, arrays[one.positional :], strict=True))
        positional = tuple(arrays[: one.positional])
        found.append(ModelRuns(one.path, one.backend, one.precision, one.threads, positional, named, list(one.runs)))
    return found
