"""A workspace's checks as they run on a device: `python -m edgeloop_task.check_tool TASK`, where TASK is a `CheckTask` as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.checks import Check, CheckFigures, CheckResult, CheckTask
from edgeloop_shared.codec import decode_json, encode, encode_json
from edgeloop_shared.errors import EdgeloopError, InvalidInputError
from edgeloop_shared.messages import MAX_FRAME_BYTES
from edgeloop_task import reporting
from edgeloop_task.benchmarking import Subject, in_rounds
from edgeloop_task.child_script import ran_in_child, run_script
from edgeloop_task.model import Model, load_model
from edgeloop_task.sample_inputs import Sample, in_order, random_samples, stored_samples
from edgeloop_task.tensor_comparison import TensorComparison

MAX_SAMPLES = 100_000
MAX_WORDS = 1000


def run_checks(task: CheckTask, say: Callable[[str], None]) -> dict[str, CheckFigures]:
    """Find the figures of all checks; what goes wrong with one is its `error` and stops no other."""
    found: dict[str, CheckFigures] = {}
    # Scripts first: their processes are forked, and MNN must not be loaded by then.
    for name, check in sorted(task.checks.items(), key=lambda item: item[1].script is None):
        say(f"check {name}")
        try:
            found[name] = _script(check) if check.script is not None else _model(check)
        except EdgeloopError as error:
            found[name] = CheckFigures(error=_plain(error.message))
        except MemoryError as error:
            found[name] = CheckFigures(error=_plain(f"{error}. See `[run] memory_mb`."))
    timed = {
        name: _subject(check)
        for name, check in task.checks.items()
        if check.max_latency_ratio is not None and not found[name].error
    }
    rounds = in_rounds(
        timed,
        rounds=task.rounds,
        runs=task.runs,
        on_round=lambda name, number: say(f"check {name}: latency, round {number + 1} of {task.rounds}"),
    )
    for name, measured in rounds.items():
        found[name] = replace(found[name], rounds_p50_ms=tuple(one.timing.p50_ms for one in measured))
    return found


def _model(check: Check) -> CheckFigures:
    path = Path(check.cell.model)
    weights = path.with_name(f"{path.name}.weight")
    size = path.stat().st_size + (weights.stat().st_size if weights.is_file() else 0)
    with _load(check) as model:
        samples = _samples(check, model)
        outputs = [model.run(*in_order(sample, model)) for sample in samples]
    return CheckFigures(
        samples=len(samples),
        accuracy=None if check.min_accuracy is None else _accuracy(check, outputs),
        cosine=None if check.min_cosine is None else _cosine(check, samples, outputs),
        bytes=size,
    )


def _load(check: Check) -> Model:
    cell = check.cell
    return load_model(cell.model, backend=cell.backend, precision=cell.precision, threads=cell.threads)


def _samples(check: Check, model: Model) -> Sequence[Sample]:
    if check.inputs is None:
        return random_samples(model.inputs, 1, 0)
    every = check.min_accuracy is not None or check.min_cosine is not None
    return stored_samples(Path(check.inputs), model.inputs, MAX_SAMPLES if every else 1)


def _subject(check: Check) -> Subject:
    with _load(check) as model:
        return Subject(lambda: _load(check), in_order(_samples(check, model)[0], model))


def _accuracy(check: Check, outputs: Sequence[Mapping[str, NDArray[Any]]]) -> float:
    labels = _labels(check)
    if len(outputs[0]) != 1:
        raise InvalidInputError(
            f"{check.model} has {len(outputs[0])} outputs, so which one holds the classes is unclear."
        )
    if len(labels) != len(outputs):
        raise InvalidInputError(f"{check.inputs} has {len(labels)} {check.labels} for {len(outputs)} samples.")
    guesses = np.array([int(next(iter(output.values())).argmax()) for output in outputs])
    return float(np.mean(guesses == labels))


def _labels(check: Check) -> NDArray[Any]:
    if check.inputs is None or not check.inputs.endswith(".npz"):
        raise InvalidInputError("An accuracy needs inputs with labels: name an .npz.")
    with np.load(check.inputs, allow_pickle=False) as archive:
        if check.labels not in archive.files:
            raise InvalidInputError(f"{check.inputs} has no array {check.labels}; it holds {', '.join(archive.files)}.")
        return np.asarray(archive[check.labels]).ravel()


def _cosine(check: Check, samples: Sequence[Sample], outputs: Sequence[Mapping[str, NDArray[Any]]]) -> float:
    worst = 1.0
    with load_model(check.reference or check.cell.model, precision="high") as reference:
        for sample, found in zip(samples, outputs, strict=True):
            expected = reference.run(*in_order(sample, reference))
            if found.keys() != expected.keys():
                raise InvalidInputError(f"{check.model} has other outputs than {check.reference}.")
            worst = min(worst, *(TensorComparison(found[name], array).cosine for name, array in expected.items()))
    return worst


class _Results(reporting.ConsoleReporter):
    """Keeps the numbers of a script's results; what else it reports is printed, and so in the run's log."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, float] = {}

    def result(self, values: dict[str, Any]) -> None:
        """Keep the finite numbers."""
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.numbers[name] = float(value)


def _script(check: Check) -> CheckFigures:
    script = check.script
    assert script is not None

    def run(folder: Path) -> None:
        results = _Results()
        reporting.use(results)
        run_script(script, check.arguments)
        (folder / "figures.json").write_bytes(encode_json(CheckFigures(results=results.numbers)))

    with ran_in_child(script, run) as folder:
        return decode_json(CheckFigures, (folder / "figures.json").read_bytes(), max_bytes=MAX_FRAME_BYTES)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_WORDS]


def main() -> None:
    """Run the checks, say on stderr how far that is, and report the figures as `check`."""
    task = decode_json(CheckTask, sys.argv[1], max_bytes=MAX_FRAME_BYTES)
    np.seterr(all="ignore")

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    reporting.report_result(check=encode(CheckResult(run_checks(task, say))))


if __name__ == "__main__":
    main()
