"""What a benchmark hands back: figures with their bars, written as JSON beside the machine's facts.

A benchmark is a script of its own. It measures ours and a peer in turns, in one run, so that a busy machine slows both down,
makes `Figure`s of that, and ends with `publish`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).parent / "results"
NOISY_LOAD = 0.5  # of the machine's cores, busy with something else when a benchmark begins
NOISY_SPREAD = 0.25
_NAMED = ("aiohttp", "MNN", "numpy", "pydantic")

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Figure:
    """One number that must stay at or below `bar`, or at or above it when more is `better`.

    `spread` is how far rounds lie apart: their interquartile range over their median. `measured` holds the numbers that the
    value was made from, in the units that their names end with.
    """

    name: str
    value: float
    bar: float
    unit: str = "x"
    better: Literal["less", "more"] = "less"
    spread: float | None = None
    measured: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the bar is met."""
        return self.value <= self.bar if self.better == "less" else self.value >= self.bar


def ratio(
    name: str,
    bar: float,
    ours: Sequence[float],
    peer: Sequence[float],
    *,
    unit: str,
    better: Literal["less", "more"] = "less",
    of: Callable[[Sequence[float]], float] = statistics.median,
) -> Figure:
    """Return the figure `of(ours) / of(peer)`; the samples of one round stand at one index, `unit` is theirs."""
    pairs = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    measured = {f"ours_{unit}": of(ours), f"peer_{unit}": of(peer)}
    return Figure(name, of(ours) / of(peer), bar, better=better, spread=spread(pairs), measured=measured)


def spread(samples: Sequence[float]) -> float | None:
    """Return the interquartile range over the median, or None when there are too few samples to tell."""
    if len(samples) < 4:
        return None
    low, middle, high = statistics.quantiles(samples, n=4)
    return (high - low) / middle


def percentile(samples: Sequence[float], percent: int) -> float:
    """Return the value below which `percent` of the samples lie."""
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def interleaved(rounds: int, contestants: Mapping[str, Callable[[], float]], *, warm_up: int = 1) -> Samples:
    """Return what each contestant measured per round. Who begins changes from round to round."""
    samples: Samples = {name: [] for name in contestants}
    for number in range(-warm_up, rounds):
        for name in _order(contestants, number):
            value = contestants[name]()
            if number >= 0:
                samples[name].append(value)
    return samples


async def interleaved_async(
    rounds: int, contestants: Mapping[str, Callable[[], Awaitable[float]]], *, warm_up: int = 1
) -> Samples:
    """Return what each contestant measured per round. Who begins changes from round to round."""
    samples: Samples = {name: [] for name in contestants}
    for number in range(-warm_up, rounds):
        for name in _order(contestants, number):
            value = await contestants[name]()
            if number >= 0:
                samples[name].append(value)
    return samples


def keeping_bytecode(folder: Path) -> dict[str, str]:
    """Return the environment of processes that keep what they compile in `folder`: where nothing may be kept, an editable
    install would compile all of ours at every start, and nothing of a peer that pip has compiled.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return variables | {"PYTHONPYCACHEPREFIX": str(folder)}


def publish(name: str, measure: Callable[[], Sequence[Figure]]) -> None:
    """Measure, print a line per figure, keep the result as `results/NAME.json`, and exit with 1 when a bar is missed."""
    machine, begin = _machine(), time.monotonic()
    figures = measure()
    noise = _noise(machine, figures)
    result = {
        "benchmark": name,
        "begun_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - (time.monotonic() - begin))),
        "seconds": round(time.monotonic() - begin, 1),
        "machine": machine,
        "noise": noise,
        "figures": [_rounded(asdict(figure) | {"holds": figure.holds}) for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for figure in figures:
        print(line(figure))
    for remark in noise:
        print(f"  noise: {remark}")
    sys.exit(0 if all(figure.holds for figure in figures) else 1)


def line(figure: Figure) -> str:
    """Return the figure in one line of at most 80 columns."""
    bar = f"{'<=' if figure.better == 'less' else '>='} {figure.bar:g}"
    apart = "" if figure.spread is None else f"±{figure.spread:.0%}"
    value = f"{figure.value:.3g}" if figure.value < 1000 else f"{figure.value:.0f}"
    return f"{figure.name[:38]:38} {value:>6} {figure.unit:<4} {bar:>8} {apart:>6}  {'holds' if figure.holds else 'MISSED'}"


def _order(contestants: Mapping[str, Any], number: int) -> list[str]:
    names = list(contestants)
    return names if number % 2 == 0 else names[::-1]


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {package: version(package) for package in _NAMED},
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _noise(machine: Mapping[str, Any], figures: Sequence[Figure]) -> list[str]:
    remarks = [
        f"{figure.name}: rounds lie {figure.spread:.0%} apart"
        for figure in figures
        if figure.spread is not None and figure.spread > NOISY_SPREAD
    ]
    if machine["load"] > NOISY_LOAD * (machine["cores"] or 1):
        remarks.insert(0, f"the machine was busy when this began (load {machine['load']})")
    return remarks


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value
