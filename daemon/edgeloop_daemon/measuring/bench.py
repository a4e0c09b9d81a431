"""Benchmarks: from what a user asks to the tool that runs on a device, and from its run to what it found."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from edgeloop_daemon.devices.bundles import DeviceTool, tool_path
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.selection import bundle_path, is_file
from edgeloop_shared.benchmarks import (
    MAX_CELLS,
    MAX_ROUNDS,
    MAX_RUNS,
    MAX_THREADS,
    Backend,
    BenchResult,
    BenchTask,
    Cell,
    Precision,
)
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import ConflictError, InvalidInputError, MessageError, NotFoundError, TooLargeError

TOOL = "bench"
_MODULE = "edgeloop_task.bench_tool"
T = TypeVar("T")
_PATH = {"min_length": 1, "max_length": 512}


@dataclass(frozen=True)
class BenchRequest:
    """What to measure: every model with every backend, precision and number of threads.

    Outputs are compared with those of `reference` (null: the first model) in fp32 on the CPU. `inputs` is an `.npz` with an array
    per input name, or an `.npy` (null: random numbers); its first sample is taken. `runs` timed runs per cell are spread over
    `rounds`. `inside` is a script whose own runs of the first model are recorded and compared; `include` names further
    files for it. `device` is an id or a name (null: the workspace's, else the only linked one).
    """

    models: tuple[str, ...] = field(metadata={"min_length": 1, "max_length": 32})
    reference: str | None = field(default=None, metadata=_PATH)
    inputs: str | None = field(default=None, metadata=_PATH)
    backends: tuple[Backend, ...] = field(default=("cpu",), metadata={"min_length": 1, "max_length": 6})
    precisions: tuple[Precision, ...] = field(default=("normal",), metadata={"min_length": 1, "max_length": 3})
    threads: tuple[Annotated[int, Field(ge=1, le=MAX_THREADS)], ...] = field(
        default=(1,), metadata={"min_length": 1, "max_length": 16}
    )
    rounds: int = field(default=5, metadata={"ge": 1, "le": MAX_ROUNDS})
    runs: int = field(default=100, metadata={"ge": 1, "le": MAX_RUNS})
    inside: str | None = field(default=None, metadata=_PATH)
    inside_arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    include: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    device: str | None = None


def bench_tool(request: BenchRequest, root: Path) -> DeviceTool:
    """Return the tool for a request on the workspace at `root`. It looks for files, so it blocks.

    Raises `InvalidInputError`, `BundleError`, `TooLargeError` and `NotFoundError`.
    """
    models = [bundle_path(root, model, "model") for model in request.models]
    reference = models[0] if request.reference is None else bundle_path(root, request.reference, "model")
    matrix = itertools.product(models, request.backends, request.precisions, request.threads)
    cells = tuple(dict.fromkeys(Cell(*place) for place in matrix))
    if len(cells) > MAX_CELLS:
        raise TooLargeError(
            f"The matrix has {len(cells)} cells.",
            hint="Name fewer models, backends, precisions or threads.",
            details={"limit": MAX_CELLS, "size": len(cells)},
        )
    inputs = None if request.inputs is None else bundle_path(root, request.inputs, "data file")
    task = BenchTask(
        cells=cells,
        reference=reference,
        inputs=inputs,
        rounds=request.rounds,
        runs=request.runs,
        inside=None if request.inside is None else bundle_path(root, request.inside, "script"),
        inside_arguments=request.inside_arguments,
    )
    files = [file for model in dict.fromkeys((*models, reference)) for file in model_files(root, model)]
    if inputs is not None:
        files.append(inputs)
    return DeviceTool(TOOL, _MODULE, task, tuple(files), request.inside, request.inside_arguments)


def bench_result(run: Run) -> BenchResult:
    """Return what a run of the tool found. Raises `ConflictError` before its end, `NotFoundError` for another run."""
    if run.script != tool_path(TOOL):
        raise NotFoundError(f"Run {run.id} is no benchmark.", hint="`edgeloop bench MODEL` starts one.")
    return tool_result(run, TOOL, BenchResult)


def tool_result(run: Run, name: str, kind: type[T]) -> T:
    """Return what a tool reported as `name`; it is the device's word."""
    if name not in run.result:
        state = "failed" if run.state.is_terminal else "has not ended"
        raise ConflictError(f"Run {run.id} {state}, so it has no result.", hint=f"`edgeloop logs {run.id}` shows why.")
    try:
        return decode(kind, run.result[name])
    except InvalidInputError as error:
        raise MessageError(
            f"The device's result of run {run.id} cannot be read: {error.message}",
            hint="Does its app have the same version as this computer's edgeloop?",
        ) from None


def model_files(root: Path, model: str) -> tuple[str, ...]:
    """Return the files of the model at a path of the bundle: itself, and its weights where they stand beside it."""
    if not is_file(root / model):
        raise NotFoundError(f"There is no model {model} in the workspace {root}.", hint="`edgeloop train` makes one.")
    if model.lower().endswith(".onnx"):
        raise InvalidInputError(
            f"{model} is an ONNX model, which MNN does not run.", hint=f"Convert it first: `edgeloop convert {model}`."
        )
    weights = f"{model}.weight"
    return (model, weights) if is_file(root / weights) else (model,)
