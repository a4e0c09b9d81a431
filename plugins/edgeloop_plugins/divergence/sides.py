"""The sides of a comparison: where a run is recorded."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeloop import JobContext
from edgeloop_plugins.divergence import results
from edgeloop_shared.benchmarks import Cell
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import JobFailedError, NotFoundError, error_from_dict
from edgeloop_shared.signals import signal_name
from edgeloop_task.array_file import unpack_arrays
from edgeloop_task.divergence_task import ERROR_FILE, RECORD_FILE, TENSORS_FILE, DivergeTask, Fed, TensorAsked
from edgeloop_task.references import reference_key
from edgeloop_task.run_record import RunRecord, unpack_record

Array = NDArray[Any]
_MODULE = "edgeloop_task.divergence_tool"
_SHOWN_LINES = 20


@dataclass(frozen=True)
class Work:
    """What to record; see `DivergeTask`. `fed` names an operator, its occurrence, the number of an input, and an `.npy`."""

    model: Path | None = None
    inputs: Path | None = None
    script: Path | None = None
    arguments: tuple[str, ...] = ()
    asked: tuple[TensorAsked, ...] = ()
    stages: tuple[str, ...] = ()
    fed: tuple[tuple[str, int, int, Path], ...] = ()
    keep_bytes: int = 0


@dataclass(frozen=True)
class Recorded:
    """The record of a run, and the tensors that were asked for. Bytes are those of files over the link."""

    record: RunRecord
    tensors: Mapping[str, Array] = field(default_factory=dict)
    sent_bytes: int = 0
    received_bytes: int = 0
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the name of an operator of the other side those of this one that may stand for it, where its name alone does not tell."""

    def output(self, operator: str, occurrence: int, number: int) -> Array | None:
        """Return an output of an operator, if it was kept."""
        return self.tensors.get(f"operator/{reference_key(operator, occurrence, number)}")

    def stage(self, name: str) -> Array | None:
        """Return a stage, if it was kept."""
        return self.tensors.get(f"stage/{name}")


class Recorder(Protocol):
    """A place where runs are recorded."""

    def record(self, work: Work) -> Recorded:
        """Do the work. Raises what loading, running and the device raise."""

    def side(self, work: Work, engine: str) -> results.Side:
        """Return how the side is shown."""


@dataclass(frozen=True)
class Options:
    """How MNN is asked to run a model; fields as in `Cell`."""

    backend: Any = "cpu"
    precision: Any = "high"
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} x{self.threads}"

    def cell(self, model: str) -> Cell:
        """Return a model with these options."""
        return Cell(model, self.backend, self.precision, self.threads)


class Host:
    """This computer, in a process of its own."""

    def __init__(self, context: JobContext, options: Options) -> None:
        self._context = context
        self._options = options

    def record(self, work: Work) -> Recorded:
        """Run the tool that a device runs as well."""
        with tempfile.TemporaryDirectory(dir=self._context.folder) as name:
            folder = Path(name)
            task = _task(work, self._options, str)
            command = [sys.executable, "-P", "-m", _MODULE, encode_json(task).decode(), name]
            lines: list[str] = []
            status = self._context.run(command, folder=self._context.workspace, on_line=lines.append)
            if (folder / ERROR_FILE).exists():
                raise error_from_dict(json.loads((folder / ERROR_FILE).read_text()))
            if status != 0:
                raise JobFailedError(
                    f"The run on this computer ended with {_ending(status)}.",
                    hint="The job's log says more, if anything was said.",
                    details={"native_output": lines[-_SHOWN_LINES:]},
                )
            return _read({file.name: file for file in folder.iterdir()})

    def side(self, work: Work, engine: str) -> results.Side:
        """Return how it is shown."""
        return results.Side("this computer", _shown(work, self._context), _options(work, self._options), engine)


class Device:
    """A device."""

    def __init__(self, context: JobContext, name: str | None, options: Options, say: Callable[[str], None]) -> None:
        self._context = context
        self._name = name
        self._options = options
        self._say = say
        self.device = self.name = name or ""

    def record(self, work: Work) -> Recorded:
        """Send the tool to the device and bring back what it recorded."""
        script = self._context.folder / "diverge.py"
        script.write_text(f"import runpy\n\nrunpy.run_module({_MODULE!r}, run_name='__main__')\n")
        brought = {path: self._brought(path) for path in _files(work)}
        task = _task(work, self._options, lambda path: self._context.device_path(brought[path]))
        workspace = self._context.workspace
        like = None if work.script is None else (str(work.script.relative_to(workspace)), work.arguments)
        run = self._context.run_on_device(
            script,
            (encode_json(task).decode(),),
            files=tuple(brought.values()),
            like=like,
            device=self._name,
            on_line=self._say,
        )
        self.device, self.name = run.device, run.device_name
        found = _read(run.files)
        return Recorded(found.record, found.tensors, run.sent_bytes, run.received_bytes)

    def side(self, work: Work, engine: str) -> results.Side:
        """Return how it is shown."""
        return results.Side(self.name, _shown(work, self._context), _options(work, self._options), engine)

    def _brought(self, path: Path) -> Path:
        """Return the file itself, or a copy in the job's folder where it lies outside of the workspace."""
        resolved = path.resolve()
        for root in (self._context.workspace, self._context.folder):
            if resolved.is_relative_to(root.resolve()):
                return resolved
        folder = self._context.folder / "brought"
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy2(resolved, folder / path.name))


def _task(work: Work, options: Options, place: Callable[[Path], str]) -> DivergeTask:
    return DivergeTask(
        cell=None if work.model is None else options.cell(place(work.model)),
        inputs=None if work.inputs is None else place(work.inputs),
        script=None if work.script is None else place(work.script),
        arguments=work.arguments,
        asked=work.asked,
        stages=work.stages,
        fed=tuple(Fed(operator, occurrence, number, place(file)) for operator, occurrence, number, file in work.fed),
        keep_bytes=work.keep_bytes,
    )


def _files(work: Work) -> list[Path]:
    files = [path for path in (work.model, work.inputs, work.script, *(fed[3] for fed in work.fed)) if path is not None]
    if work.model is not None:
        weights = work.model.with_name(f"{work.model.name}.weight")
        files += [weights] if weights.is_file() else []
    for path in files:
        if not path.is_file():
            raise NotFoundError(f"There is no file {path}.", hint="Check the path.")
    return files


def _read(files: Mapping[str, Path]) -> Recorded:
    if RECORD_FILE not in files:
        raise JobFailedError("The run recorded nothing.", hint="Is edgeloop on both sides of the same version?")
    record = unpack_record(files[RECORD_FILE].read_bytes())
    tensors = unpack_arrays(files[TENSORS_FILE].read_bytes()) if TENSORS_FILE in files else {}
    return Recorded(record, tensors)


def _shown(work: Work, context: JobContext) -> str:
    path = work.script or work.model
    assert path is not None
    return str(path.relative_to(context.workspace)) if path.is_relative_to(context.workspace) else str(path)


def _options(work: Work, options: Options) -> str:
    return "as the script asks" if work.script is not None else str(options)


def _ending(status: int) -> str:
    return signal_name(-status) if status < 0 else f"exit status {status}"
