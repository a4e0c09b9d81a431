"""One side of a divergence search, on a device or here: `python -m edgeloop_task.divergence_tool TASK [FOLDER]`.

TASK is a `DivergeTask` as JSON. The record of the run and the tensors that were asked for are reported as files, or written to
FOLDER; there an error is left as `error.json`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import EdgeloopError, ModelError
from edgeloop_shared.messages import MAX_FRAME_BYTES
from edgeloop_task import reporting, run_times, stages
from edgeloop_task.array_file import pack_arrays
from edgeloop_task.child_script import ran_in_child, run_script
from edgeloop_task.divergence_task import ERROR_FILE, RECORD_FILE, TENSORS_FILE, DivergeTask, TensorAsked
from edgeloop_task.engine import mnn
from edgeloop_task.model import Model, load_model
from edgeloop_task.operator_breakpoint import break_on
from edgeloop_task.operator_hit import HitTensor, OperatorHit
from edgeloop_task.references import reference_key
from edgeloop_task.run_record import NamedTensor, RecordedOperator, RunRecord, pack_record
from edgeloop_task.tensor_signature import TensorSignature, signature_of, unreadable
from edgeloop_task.tensors import TensorInfo, fitting_arrays

Arrays = dict[str, NDArray[Any]]
RECENT = 3  # tensors that are remembered: most inputs are the output of the operator before
MAX_RECENT_BYTES = 32 * 1024**2  # of one of them
_FAILED = 3
_NO_OPERATORS = (
    "the model has control flow, or shapes that depend on its numbers: MNN shows no single operators of it, so only its "
    "outputs are compared"
)


def record_run(task: DivergeTask, folder: Path) -> None:
    """Do the task and write its files to `folder`. Raises what the script, loading and running raise."""
    if task.script is not None:
        _record_script(task, task.script, folder)
        return
    assert task.cell is not None
    tensors: Arrays = {}
    watch = _OperatorWatch(task, tensors, "asked")
    with _loaded(task) as model:
        arrays = _stored_inputs(task, model)
        if model.shows_operators:
            with watch.on():
                outputs = model.run(**arrays)
        else:
            outputs = model.run(**arrays)
        if sum(array.nbytes for array in outputs.values()) <= task.keep_bytes:
            tensors |= {f"output/{name}": array for name, array in outputs.items()}
        record = _record(watch, model.path, arrays, outputs, "" if model.shows_operators else _NO_OPERATORS)
    if task.fed:
        fed = _OperatorWatch(task, tensors, "fed")
        with _loaded(task) as model, fed.on():
            model.run(**arrays)
    _write(folder, record, tensors)


def _record_script(task: DivergeTask, script: str, folder: Path) -> None:
    """Run the script, and record its stages and the first run of the model in it."""

    def run(found: Path) -> None:
        tensors: Arrays = {}
        watch = _OperatorWatch(task, tensors, "asked")
        reporting.use(_Silent())
        with stages.recording() as recorder, run_times.recording() as runs, watch.on():
            run_script(script, task.arguments)
        for number, stage in enumerate(task.stages):
            if stage in recorder.arrays:
                tensors[f"stage-{number}"] = recorder.arrays[stage]
        if sum(array.nbytes for array in recorder.arrays.values()) <= task.keep_bytes:
            tensors |= {f"stage/{stage}": array for stage, array in recorder.arrays.items()}
        path, inputs = _first_inputs(runs)
        record = RunRecord(
            engine=_engine(),
            model=path,
            stages=tuple(NamedTensor(stage, signature_of(array)) for stage, array in recorder.arrays.items()),
            inputs=tuple(NamedTensor(one, signature_of(array)) for one, array in inputs.items()),
            operators=tuple(watch.operators),
        )
        _write(found, record, tensors | {f"input-{name}": array for name, array in inputs.items()})

    with ran_in_child(script, run) as found:
        for file in found.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())


class _Silent(reporting.ConsoleReporter):
    """Prints what a script reports into the log, and keeps its files nowhere."""

    def file(self, path: Path, name: str) -> None:
        """Leave the file where it is."""


class _OperatorWatch:
    """Takes the signatures of all tensors of a model's first run, or else the tensors that are asked for."""

    def __init__(self, task: DivergeTask, tensors: Arrays, prefix: str) -> None:
        self.operators: list[RecordedOperator] = []
        self._task = task
        self._records = not task.asked and not task.stages
        self._tensors = tensors
        self._prefix = prefix
        self._asked: dict[tuple[str, int], list[tuple[int, TensorAsked]]] = {}
        for number, one in enumerate(task.asked):
            self._asked.setdefault((one.operator, one.occurrence), []).append((number, one))
        self._inputs: tuple[TensorSignature, ...] = ()
        self._recent: deque[tuple[NDArray[Any], TensorSignature]] = deque(maxlen=RECENT)
        self._kept = 0
        self._model = ""
        self._is_over = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch the first run of the first model that runs, for the block."""
        with (
            break_on("* before @0", action=self._before, reports=0),
            break_on("* after @0", action=self._after, reports=0),
        ):
            yield

    def _before(self, hit: OperatorHit) -> None:
        self._is_over |= hit.index == 0 and bool(self._model)  # the next model, perhaps in a file of the same name
        if self._is_over:
            return
        self._model = hit.model
        if self._prefix == "fed":
            for one in self._task.fed:
                if (one.operator, one.occurrence) == (hit.name, hit.occurrence):
                    hit.replace(one.file, one.number)
        elif self._records:
            self._inputs = tuple(self._signature(tensor) for tensor in hit.inputs)
        self._take(hit, "in", hit.inputs)

    def _after(self, hit: OperatorHit) -> None:
        if self._is_over:
            return
        if self._records:
            outputs = tuple(self._signature(tensor) for tensor in hit.outputs)
            self._keep(hit)
            self.operators.append(RecordedOperator(hit.name, hit.type, hit.occurrence, self._inputs, outputs))
        self._take(hit, "out", hit.outputs)

    def _signature(self, tensor: HitTensor) -> TensorSignature:
        """Return a tensor's signature; that of an input is mostly known, since an operator before has made it."""
        try:
            array = tensor.array
        except ModelError:  # of a dtype that MNN does not hand out
            return unreadable(())
        for known, signature in self._recent:
            if known.shape == array.shape and np.array_equal(known, array):
                return signature
        signature = signature_of(array)
        if array.nbytes <= MAX_RECENT_BYTES:
            self._recent.appendleft((array, signature))
        return signature

    def _keep(self, hit: OperatorHit) -> None:
        for number, tensor in enumerate(hit.outputs):
            array = tensor.array
            self._kept += array.nbytes
            if self._kept <= self._task.keep_bytes:
                self._tensors[f"operator/{reference_key(hit.name, hit.occurrence, number)}"] = array

    def _take(self, hit: OperatorHit, side: str, tensors: tuple[HitTensor, ...]) -> None:
        for number, one in self._asked.get((hit.name, hit.occurrence), ()):
            if one.side == side and one.number < len(tensors):
                array = tensors[one.number].array
                if one.slices and array.ndim > 1:
                    array = np.ascontiguousarray(array[:, [at for at in one.slices if at < array.shape[1]]])
                self._tensors[f"{self._prefix}-{number}"] = array


@contextmanager
def _loaded(task: DivergeTask) -> Iterator[Model]:
    cell = task.cell
    assert cell is not None
    with load_model(cell.model, backend=cell.backend, precision=cell.precision, threads=cell.threads) as model:
        yield model


def _stored_inputs(task: DivergeTask, model: Model) -> Arrays:
    assert task.inputs is not None
    with np.load(task.inputs, allow_pickle=False) as archive:
        named = {name: archive[name] for name in archive.files}
    return fitting_arrays(model.path.name, model.inputs, (), named)


def _record(
    watch: _OperatorWatch, model: Path, inputs: Arrays, outputs: Mapping[str, NDArray[Any]], note: str
) -> RunRecord:
    return RunRecord(
        engine=_engine(),
        model=os.path.relpath(model),
        inputs=tuple(NamedTensor(name, signature_of(array)) for name, array in inputs.items()),
        operators=tuple(watch.operators),
        outputs=tuple(NamedTensor(name, signature_of(array)) for name, array in outputs.items()),
        note=note,
    )


def _first_inputs(runs: run_times.Recorder) -> tuple[str, Arrays]:
    """Return the path of the model that the script ran first, and what it gave it, by the names of the inputs."""
    if not runs.found:
        return "", {}
    first = next(iter(runs.found.values()))
    with load_model(first.path) as model:
        inputs: tuple[TensorInfo, ...] = model.inputs
    return os.path.relpath(first.path), fitting_arrays(model.path.name, inputs, first.arrays, dict(first.named))


def _engine() -> str:
    try:
        return f"MNN {mnn().version()}"
    except ModelError:  # a script may need none
        return ""


def _write(folder: Path, record: RunRecord, tensors: Arrays) -> None:
    (folder / RECORD_FILE).write_bytes(pack_record(record))
    if tensors:
        (folder / TENSORS_FILE).write_bytes(pack_arrays(tensors))


def main() -> None:
    """Do the task; report the files, or leave them in the folder that the second argument names."""
    task = decode_json(DivergeTask, sys.argv[1], max_bytes=MAX_FRAME_BYTES)
    np.seterr(all="ignore")
    if len(sys.argv) > 2:
        try:
            record_run(task, Path(sys.argv[2]))
        except EdgeloopError as error:
            (Path(sys.argv[2]) / ERROR_FILE).write_text(json.dumps(error.as_dict()))
            sys.exit(_FAILED)
        return
    # In the run's own folder, which goes with the run even if this process is killed.
    with tempfile.TemporaryDirectory(prefix="edgeloop-diverge-", dir=Path.cwd()) as folder:
        record_run(task, Path(folder))
        for file in sorted(Path(folder).iterdir()):
            reporting.report_file(file)


if __name__ == "__main__":
    main()
