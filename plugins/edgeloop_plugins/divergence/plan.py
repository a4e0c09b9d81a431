"""The plan of a search: which two sides are compared, on which inputs, and within which bound."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from edgeloop import JobContext
from edgeloop_plugins.divergence.background import in_background
from edgeloop_plugins.divergence.onnx_runtime import OnnxRuntime
from edgeloop_plugins.divergence.parameters import DivergeParameters
from edgeloop_plugins.divergence.reference_file import ReferenceFile, sha256_of
from edgeloop_plugins.divergence.sides import Device, Host, Options, Recorded, Recorder, Work
from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_plugins.model_tools.paths import in_workspace
from edgeloop_plugins.model_tools.source_nodes import SourceNodes, recorded_nodes, source_nodes
from edgeloop_shared.benchmarks import MAX_THREADS, Backend, Precision
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError
from edgeloop_task.model_file import read_model_file
from edgeloop_task.sample_inputs import first_sample

SAME_DB, OTHER_ENGINE_DB, HALF_DB, LOW_DB = 60.0, 50.0, 40.0, 30.0
EIGHT_BIT_DB, INTEGER_DB, FEW_BITS_DB = 15.0, 10.0, 5.0
KEPT_BYTES = 192 * 1024**2  # of the tensors of a reference on this computer
PLAIN = Options("cpu", "high", 1)
"""How this computer runs a reference."""
_FAILURE_SECONDS = 5.0


class Plan:
    """What is compared with what. It counts the bytes over the link.

    Raises `NotFoundError`, `InvalidInputError` and `ModelError` for files and options that cannot be used.
    """

    def __init__(self, parameters: DivergeParameters, context: JobContext, path: Path) -> None:
        self.parameters = parameters
        self.context = context
        self.path = path
        self.options = Options(parameters.backend, parameters.precision, parameters.threads)
        self.reference_model = path
        self.device = self.on_device(parameters.device, self.options)
        if parameters.reference is not None:
            self.reference_model = in_workspace(parameters.reference, context.workspace)
            _require_mnn(self.reference_model)
        self.reference = self._made_reference()
        self.sent_bytes = self.received_bytes = 0

    @property
    def has_live_reference(self) -> bool:
        """Whether the reference is MNN, here or on a device, and not ONNX Runtime or a file."""
        return isinstance(self.reference, Host | Device)

    def on_device(self, name: str | None, options: Options) -> Device:
        """Return a device that runs models with other options."""
        return Device(self.context, name, options, lambda line: self.context.log(f"device: {line}"))

    def on_host(self) -> Host:
        """Return this computer, computing on the CPU in fp32."""
        return Host(self.context, PLAIN)

    def record(self, work: Work) -> Recorded:
        """Record a run on the device."""
        return self.counted(self.device.record(work))

    def counted(self, recorded: Recorded) -> Recorded:
        """Count the bytes of a run on a device."""
        self.sent_bytes += recorded.sent_bytes
        self.received_bytes += recorded.received_bytes
        return recorded

    def both(self, work: Work, reference_work: Work) -> tuple[Recorded, Recorded]:
        """Record the device's run and the reference's at once; what fails on one side is not held up by the other."""
        self.context.progress(0.1, "running both sides")
        if isinstance(self.reference, Host):  # from where tensors cost nothing to bring
            reference_work = replace(reference_work, keep_bytes=max(reference_work.keep_bytes, KEPT_BYTES))
        if isinstance(self.reference, OnnxRuntime):  # which wants to know what is wanted of it
            found = self.record(work)
            self.reference.operators = tuple(one.name for one in found.record.operators)
            return found, self.reference.record(reference_work)
        expected = in_background(lambda: self.reference.record(reference_work))
        own = in_background(lambda: self.record(work))
        wait({expected, own}, return_when=FIRST_EXCEPTION)
        wait({expected}, timeout=_FAILURE_SECONDS)  # what fails on both sides is told better by the reference
        reference = self.counted(expected.result()) if expected.done() else None
        found = own.result()
        assert reference is not None  # else the device's run has failed
        return found, reference

    def inputs(self) -> tuple[Path, str]:
        """Return the file with the model's inputs for both sides, and words on them."""
        _require_mnn(self.path)
        asked = self.parameters.input
        described = read_model_file(self.path).inputs
        if asked is None and isinstance(self.reference, ReferenceFile) and self.reference.inputs:
            arrays, words = dict(self.reference.inputs), f"those of {self.parameters.against}"
        else:
            given = None if asked is None else in_workspace(asked, self.context.workspace)
            arrays, words = first_sample(given, described)
        file = self.context.folder / "inputs.npz"
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return file, words

    def nodes(self, model: Path) -> SourceNodes | None:
        """Return the nodes of a model's source: one that is named or stands beside it, else what its conversion recorded.

        A variant that nothing is known of comes from where its reference does, by whose names its operators are matched.
        """
        if self.parameters.source is not None:
            return source_nodes(in_workspace(self.parameters.source, self.context.workspace))
        return self._nodes_of(model) or (
            None if model == self.reference_model else self._nodes_of(self.reference_model)
        )

    def _nodes_of(self, model: Path) -> SourceNodes | None:
        beside = model.with_suffix(".onnx")
        try:
            return source_nodes(beside) if beside.is_file() else recorded_nodes(model)
        except ModelError:
            return recorded_nodes(model)

    def bound(self, model: Path | None, reference: Path | None) -> float:
        """Return the least signal-to-noise ratio in dB that counts as agreement: asked for, or what files and options allow."""
        if self.parameters.min_snr is not None:
            return self.parameters.min_snr
        bounds = [LOW_DB if self.options.precision == "low" else SAME_DB]
        if isinstance(self.reference, OnnxRuntime):
            bounds.append(OTHER_ENGINE_DB)
        if self.options.backend != "cpu":
            bounds.append(HALF_DB)
        models = [path for path in (model, reference) if path is not None]
        if isinstance(self.reference, ReferenceFile):  # which holds no weights, but may tell whose tensors it holds
            models = [path for path in models[:1] if sha256_of(path) != self.reference.model]
        elif model == reference:
            models = []
        if models:
            bits = [bits for path in models for bits in read_model(path).weights_by_bits() if bits]
            fewest = min(bits, default=32)
            bounds.append(
                FEW_BITS_DB if fewest < 8 else EIGHT_BIT_DB if fewest == 8 else HALF_DB if fewest == 16 else SAME_DB
            )
            if any(one.type in ("FloatToInt8", "ConvInt8") for one in read_model(models[0]).operators):
                bounds.append(INTEGER_DB)
        return min(bounds)

    def _made_reference(self) -> Recorder:
        parameters, workspace = self.parameters, self.context.workspace
        against = parameters.against
        if against == "host":
            return self.on_host()
        if against == "onnxruntime" or against.lower().endswith(".onnx"):
            given = parameters.source if against == "onnxruntime" else against
            source = in_workspace(given, workspace) if given else self.path.with_suffix(".onnx")
            if not source.is_file():
                raise NotFoundError(
                    f"There is no ONNX model {source}.",
                    hint="Name the one that MODEL was converted from with --source.",
                )
            return OnnxRuntime(source)
        if against.lower().endswith(".npz"):
            return ReferenceFile(in_workspace(against, workspace))
        if against.startswith("device:"):
            return self.on_device(against.removeprefix("device:"), self.options)
        return self.on_device(parameters.device, _options(against))


def _options(against: str) -> Options:
    """Return what `BACKEND[:PRECISION[:THREADS]]` says."""
    backend, _, rest = against.partition(":")
    precision, _, threads = rest.partition(":")
    fits = backend in get_args(Backend) and precision in ("", *get_args(Precision))
    if not fits or (threads and not (threads.isascii() and threads.isdigit() and 1 <= int(threads) <= MAX_THREADS)):
        raise InvalidInputError(
            f"--against {against!r} is nothing to compare with.",
            hint="Say host, onnxruntime, MODEL.onnx, device:NAME, an .npz that --save wrote, or a backend such as cpu:high.",
        )
    return Options(backend, precision or "high", int(threads or 1))


def _require_mnn(path: Path) -> None:
    if path.suffix.lower() == ".onnx":
        raise InvalidInputError(
            f"{path.name} is an ONNX model, which a device does not run.",
            hint=f"Convert it first (`edgeloop convert {path.name}`), then say --against onnxruntime to compare with it.",
        )
