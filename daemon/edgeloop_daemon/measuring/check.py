"""Checks: from a workspace's expectations to the tool that runs on a device, and from its figures to verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgeloop_daemon.devices.bundles import DeviceTool, tool_path
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.selection import bundle_path
from edgeloop_daemon.measuring.baselines import BASELINES_FILE, Baselines
from edgeloop_daemon.measuring.bench import model_files, tool_result
from edgeloop_shared.benchmarks import MAX_ROUNDS, MAX_RUNS, Cell
from edgeloop_shared.checks import MAX_CHECKS, Check, CheckFigures, CheckResult, CheckTask
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import ConflictError, NotFoundError, SettingsError
from edgeloop_shared.messages import MAX_FRAME_BYTES
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.significance import latency_difference

TOOL = "check"
_MODULE = "edgeloop_task.check_tool"
Verdict = Literal["pass", "fail", "no-baseline", "error"]


@dataclass(frozen=True)
class CheckRequest:
    """Which checks of `edgeloop.toml` to run (none: all) on which device, and how thoroughly latencies are measured."""

    names: tuple[str, ...] = field(default=(), metadata={"max_length": MAX_CHECKS})
    device: str | None = None
    rounds: int = field(default=5, metadata={"ge": 3, "le": MAX_ROUNDS})
    runs: int = field(default=100, metadata={"ge": 1, "le": MAX_RUNS})


@dataclass(frozen=True)
class Judgement:
    """One expectation of one check: what was expected, what was found, and the verdict. `note` explains it."""

    check: str
    expectation: str
    expected: str
    found: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class CheckReport:
    """All judgements of a run. It is `passed` only when every verdict is `pass`: a missing baseline is none."""

    run: str
    device: str
    device_name: str
    passed: bool
    judgements: tuple[Judgement, ...]
    baselines: str = BASELINES_FILE


def check_tool(checks: Mapping[str, Check], request: CheckRequest, root: Path) -> DeviceTool:
    """Return the tool for the checks of the workspace at `root`. It looks for files, so it blocks.

    Raises `SettingsError` for checks that expect nothing or too little to be judged, `NotFoundError` for names and files that
    are not there, and `BundleError`.
    """
    if not checks:
        raise SettingsError(
            "edgeloop.toml expects nothing.",
            hint="Add a table [check.NAME] with a model and `max_bytes`, say; see docs/checks.md.",
        )
    if unknown := [name for name in request.names if name not in checks]:
        raise NotFoundError(f"There is no check {unknown[0]!r}.", hint=f"There are: {', '.join(checks)}.")
    chosen = {name: check for name, check in checks.items() if not request.names or name in request.names}
    files: list[str] = []
    placed = {name: _placed(name, check, root, files) for name, check in chosen.items()}
    scripts = [check for check in placed.values() if check.script is not None]
    return DeviceTool(
        TOOL,
        _MODULE,
        CheckTask(placed, request.rounds, request.runs),
        tuple(dict.fromkeys(files)),
        scripts[0].script if scripts else None,
        tuple(argument for check in scripts for argument in check.arguments),
    )


def _placed(name: str, check: Check, root: Path, files: list[str]) -> Check:
    """Return a check with paths of the bundle, and add its files."""
    _require_sense(name, check)

    def placed(path: str | None, noun: str, *, is_model: bool = False) -> str | None:
        if path is None:
            return None
        found = bundle_path(root, path, noun)
        files.extend(model_files(root, found) if is_model else (found,))
        return found

    return replace(
        check,
        model=placed(check.model, "model", is_model=True),
        reference=placed(check.reference, "model", is_model=True),
        inputs=placed(check.inputs, "data file"),
        script=placed(check.script, "script"),
    )


def _require_sense(name: str, check: Check) -> None:
    of_model = (check.min_accuracy, check.min_cosine, check.max_latency_ratio, check.max_bytes)
    expects = any(bound is not None for bound in of_model)
    problem = ""
    if (check.model is None) == (check.script is None):
        problem = "names neither a model nor a script" if check.model is None else "names both a model and a script"
    elif check.script is not None and expects:
        problem = "expects of a script what only a model has; use min_results and max_results"
    elif check.script is None and (check.min_results or check.max_results):
        problem = "expects results of a model, which only a script reports"
    elif not expects and not check.min_results and not check.max_results:
        problem = "expects nothing"
    elif check.min_accuracy is not None and check.inputs is None:
        problem = "expects an accuracy, but names no inputs"
    elif check.min_cosine is not None and check.reference is None:
        problem = "expects a cosine, but names no reference"
    if problem:
        raise SettingsError(
            f"[check.{name}] in edgeloop.toml {problem}.", hint="docs/checks.md shows what a check may say."
        )


def check_report(run: Run, info: DeviceInfo, baselines: Baselines) -> CheckReport:
    """Judge what a run of the tool found. Raises `NotFoundError` for another run, `ConflictError` before its end."""
    task, figures = _task(run), _figures(run)
    judgements = tuple(
        judgement
        for name, check in task.checks.items()
        for judgement in _judge(name, check, figures[name], run.device, info, baselines)
    )
    passed = all(judgement.verdict == "pass" for judgement in judgements)
    return CheckReport(run.id, run.device, info.name, passed, judgements)


def measured_latencies(run: Run) -> dict[Cell, tuple[float, ...]]:
    """Return the rounds of every latency that a run of the tool measured. Raises as `check_report` does."""
    figures = _figures(run)
    found = {
        check.cell: figures[name].rounds_p50_ms
        for name, check in _task(run).checks.items()
        if figures[name].rounds_p50_ms
    }
    if not found:
        raise ConflictError(
            f"Run {run.id} measured no latency, so it is no baseline.",
            hint="A check with max_latency_ratio measures one.",
        )
    return found


def _task(run: Run) -> CheckTask:
    if run.script != tool_path(TOOL):
        raise NotFoundError(f"Run {run.id} is no check.", hint="`edgeloop check` starts one.")
    return decode_json(CheckTask, run.arguments[0], max_bytes=MAX_FRAME_BYTES)


def _figures(run: Run) -> Mapping[str, CheckFigures]:
    names = _task(run).checks.keys()
    found = tool_result(run, TOOL, CheckResult).checks
    return {name: found.get(name, CheckFigures(error="the device says nothing of it")) for name in names}


def _judge(
    name: str, check: Check, found: CheckFigures, device: str, info: DeviceInfo, baselines: Baselines
) -> Iterator[Judgement]:
    if found.error:
        yield Judgement(name, "runs", "yes", "no", "error", found.error)
        return
    for expectation, bound, value in (
        ("accuracy", check.min_accuracy, found.accuracy),
        ("cosine", check.min_cosine, found.cosine),
    ):
        if bound is not None:
            yield _bounded(name, expectation, value, least=bound)
    if check.max_latency_ratio is not None:
        yield _latency(name, check, check.max_latency_ratio, found.rounds_p50_ms, device, info, baselines)
    if check.max_bytes is not None:
        yield _bounded(name, "bytes", found.bytes, most=check.max_bytes)
    for key, bound in check.min_results.items():
        yield _bounded(name, key, found.results.get(key), least=bound)
    for key, bound in check.max_results.items():
        yield _bounded(name, key, found.results.get(key), most=bound)


def _bounded(
    name: str, expectation: str, value: float | None, *, least: float | None = None, most: float | None = None
) -> Judgement:
    expected = f">= {_number(least)}" if least is not None else f"<= {_number(most or 0)}"
    if value is None:
        return Judgement(name, expectation, expected, "-", "error", f"{expectation} was not reported as a number")
    is_met = (least is None or value >= least) and (most is None or value <= most)
    return Judgement(name, expectation, expected, _number(value), "pass" if is_met else "fail")


def _latency(
    name: str,
    check: Check,
    most: float,
    rounds: Sequence[float],
    device: str,
    info: DeviceInfo,
    baselines: Baselines,
) -> Judgement:
    expected = f"<= {_number(most)}x"
    if not rounds:
        return Judgement(name, "latency", expected, "-", "error", "the device measured no latency")
    now = statistics.median(rounds)
    baseline, why = baselines.find(device, info, check.cell)
    if baseline is None:
        return Judgement(name, "latency", expected, f"{now:.3g} ms", "no-baseline", why)
    ratio = now / baseline.p50_ms
    difference = latency_difference(rounds, baseline.rounds_p50_ms)
    found = f"{ratio:.2f}x ({now:.3g} ms)"
    note = f"baseline {baseline.p50_ms:.3g} ms of {baseline.measured_on}; {difference.reason}"
    if baseline.mnn_version != info.mnn_version:
        note += f"; measured with MNN {baseline.mnn_version}, now {info.mnn_version}"
    if ratio <= most:
        return Judgement(name, "latency", expected, found, "pass", note)
    if difference.is_noise:
        return Judgement(name, "latency", expected, found, "pass", f"slower, but within the noise: {note}")
    return Judgement(name, "latency", expected, found, "fail", note)


def _number(value: float) -> str:
    return f"{value:.6g}" if value != int(value) or abs(value) < 1e6 else f"{int(value)}"
