"""ONNX Runtime as the reference: every tensor of the source model, by its own name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_plugins.divergence import results
from edgeloop_plugins.divergence.sides import Recorded, Work
from edgeloop_plugins.model_tools.onnx_file import BYTES, GRAPH_OUTPUT, MODEL_GRAPH, VALUE_NAME, read_onnx
from edgeloop_plugins.model_tools.source_nodes import SourceNodes, source_nodes
from edgeloop_shared.errors import InvalidInputError, ModelError
from edgeloop_task.references import reference_key
from edgeloop_task.run_record import NamedTensor, RecordedOperator, RunRecord
from edgeloop_task.tensor_signature import signature_of, unreadable


class OnnxRuntime:
    """The source model on this computer, run by ONNX Runtime. `operators` are those of the device, for which tensors are wanted."""

    def __init__(self, model: Path, operators: Iterable[str] = ()) -> None:
        self._model = model
        self._nodes: SourceNodes = source_nodes(model)
        self.operators = tuple(operators)

    def record(self, work: Work) -> Recorded:
        """Run it on the inputs of `work`. Raises `ModelError` when it cannot be run, `InvalidInputError` without ONNX Runtime."""
        assert work.inputs is not None
        with np.load(work.inputs, allow_pickle=False) as archive:
            given = {name: archive[name] for name in archive.files}
        alternatives = {name: found for name in self.operators if (found := self._nodes.tensors(name))}
        described = read_onnx(self._model)
        kinds = {name: node.type for node in described.nodes for name in node.outputs}
        wanted = list(dict.fromkeys(name for names in alternatives.values() for name in names if name))
        final = [value.name for value in described.outputs]
        version, arrays = _run(self._model, given, [name for name in wanted if name not in final], final)
        tensors = {f"operator/{reference_key(name, 1, 0)}": array for name, array in arrays.items()}
        tensors |= {f"output/{name}": arrays[name] for name in final if name in arrays}
        record = RunRecord(
            engine=f"ONNX Runtime {version}",
            model=self._model.name,
            inputs=tuple(NamedTensor(name, signature_of(array)) for name, array in given.items()),
            operators=tuple(
                RecordedOperator(name, kinds.get(name, ""), 1, (), (_signature(arrays[name]),))
                for name in wanted
                if name in arrays
            ),
            outputs=tuple(NamedTensor(name, _signature(arrays[name])) for name in final if name in arrays),
        )
        return Recorded(record, tensors, alternatives=alternatives)

    def side(self, _work: Work, engine: str) -> results.Side:
        """Return how it is shown."""
        return results.Side("this computer", self._model.name, "", engine)


def _signature(array: NDArray[Any]) -> Any:
    return signature_of(array) if array.dtype.kind in "biuf" else unreadable(tuple(array.shape))


def _run(
    model: Path, given: Mapping[str, NDArray[Any]], more: list[str], final: list[str]
) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return ONNX Runtime's version and the tensors called `more` and `final`."""
    try:
        import onnxruntime  # optional: nothing else needs it
    except ImportError:
        raise InvalidInputError(
            "ONNX Runtime is not installed here.", hint="Install it beside edgeloop: pip install onnxruntime."
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # With its own fusions the tensors between the nodes would not exist.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            _with_outputs(model.read_bytes(), more), options, providers=["CPUExecutionProvider"]
        )
        feeds = {one.name: _fitting(given, one.name, one.type, model) for one in session.get_inputs()}
        names = [*final, *more]
        return str(onnxruntime.__version__), dict(zip(names, session.run(names, feeds), strict=True))
    except InvalidInputError:
        raise
    except Exception as error:  # ONNX Runtime raises a dozen classes of its own
        raise ModelError(
            f"ONNX Runtime cannot run {model}: {str(error)[:1000]}", hint="Is it the model that was converted?"
        ) from None


def _fitting(given: Mapping[str, NDArray[Any]], name: str, kind: str, model: Path) -> NDArray[Any]:
    if name not in given:
        raise InvalidInputError(
            f"The input {name!r} of {model} is none of the MNN model's ({', '.join(given)}).",
            hint="Name the ONNX model that the MNN model was converted from.",
        )
    dtype = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(float16)": "float16", "tensor(bool)": "bool"}
    return given[name].astype(dtype.get(kind, given[name].dtype))


def _with_outputs(model: bytes, names: list[str]) -> bytes:
    """Return the model with further outputs: two messages of one field are merged, so they can stand behind all the rest."""
    values = (_field(GRAPH_OUTPUT, _field(VALUE_NAME, name.encode())) for name in names)
    return model + _field(MODEL_GRAPH, b"".join(values)) if names else model


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
