"""Whether a tool really wrote a model: MNN says "success" too when it wrote nothing, or half of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

import edgeloop_task
from edgeloop_plugins.model_tools.model_file import ModelFile, read_model
from edgeloop_plugins.model_tools.native_tools import ConverterRun
from edgeloop_shared.errors import ConversionError, ModelError

CONTROL_FLOW = frozenset({"If", "While"})


def written_model(draft: Path, source: Path, run: ConverterRun) -> ModelFile:
    """Return what `run` wrote to `draft` out of `source`; raise `ConversionError` if that is no whole model."""
    if run.ending or not draft.exists():
        raise ConversionError(
            f"Nothing was made of {source}: {run.ending or _complaint(run.lines)}.",
            hint="MNN's own lines are in the details. For an ONNX model, exporting with another opset often helps.",
            details={"native_output": list(run.lines)},
        )
    try:
        return read_model(draft)
    except ModelError as error:
        raise ConversionError(
            f"What MNN wrote for {source} is not a whole model: {error.message}",
            hint="Is the disk full? MNN's own lines are in the details.",
            details={"native_output": list(run.lines)},
        ) from error


def run_once(model: ModelFile, complaint: str) -> str | None:
    """Run `model` once on zeros, because MNN loads models that it cannot run; return a note where that cannot be tried.

    Raises `ConversionError` that begins with `complaint` if MNN cannot load or run it.
    """
    if not CONTROL_FLOW.isdisjoint(operator.type for operator in model.operators):
        return "The model has control flow, so it was not run: MNN's sessions cannot."
    try:
        with closing(edgeloop_task.load_model(model.path)) as loaded:
            if any(size < 1 for tensor in loaded.inputs for size in tensor.shape):
                return "The model was not run, because the sizes of its inputs are open."
            loaded.run(*(np.zeros(tensor.shape, tensor.dtype) for tensor in loaded.inputs))
    except ModelError as error:
        message = error.message.replace(f"{model.path.parent}/", "")  # the draft's folder says nothing to the user
        raise ConversionError(f"{complaint}: {message}", hint=error.hint, details=error.details) from error
    return None


def _complaint(lines: Iterable[str]) -> str:
    complaints = [line for line in lines if re.search(r"error|fail|can't|not ", line, re.IGNORECASE)]
    return (complaints[-1] if complaints else "MNN wrote nothing and gave no reason").rstrip(". ")
