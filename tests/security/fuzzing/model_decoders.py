"""Decoders of models, of arrays for them, and of what runs of them have recorded."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from security.fuzzing.decoder import Decoder, of_file

from edgeloop_plugins.model_tools.model_file import read_model
from edgeloop_plugins.model_tools.onnx_file import read_onnx
from edgeloop_shared.errors import InvalidInputError, MessageError, ModelError
from edgeloop_task.array_file import pack_arrays, unpack_arrays
from edgeloop_task.model_file import read_model_file
from edgeloop_task.run_record import NamedTensor, RecordedOperator, RunRecord, pack_record, unpack_record
from edgeloop_task.sample_inputs import stored_samples
from edgeloop_task.tensor_signature import signature_of, unreadable
from edgeloop_task.tensors import TensorInfo


def models(folder: Path) -> Iterator[Decoder]:
    """Return the decoders of models and of arrays for and from them, which they read in `folder`."""
    sources = _onnx_models()
    made = folder / "made"
    made.mkdir()
    (made / "network.onnx").write_bytes(sources[0])
    convert = (
        "import sys, _tools; _tools.mnnconvert(['MNNConvert', '-f', 'ONNX', '--modelFile', sys.argv[1],"
        " '--MNNModel', sys.argv[2], '--bizCode', 'test'])"
    )
    arguments = [sys.executable, "-c", convert, str(made / "network.onnx"), str(made / "network.mnn")]
    subprocess.run(arguments, cwd=made, check=True, capture_output=True)
    mnn = ((made / "network.mnn").read_bytes(),)

    def at(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        return of_file(folder / name, read)

    yield Decoder("ONNX file", sources, at("model.onnx", read_onnx), (ModelError,))
    yield Decoder("MNN file of a script", mnn, at("script.mnn", read_model_file), (ModelError,))
    yield Decoder("MNN file of a tool", mnn, at("tool.mnn", read_model), (ModelError,))
    inputs = [TensorInfo("x", (1, 2), "float32"), TensorInfo("y", (1, 2), "float32")]
    both, stored = io.BytesIO(), io.BytesIO()
    np.savez_compressed(both, x=np.ones((3, 2), np.float32), y=np.ones((3, 2), np.float32))
    np.savez(stored, x=np.ones((3, 2), np.float32), y=np.ones((3, 2), np.float32))
    seeds = (both.getvalue(), stored.getvalue(), *_lying_archives())
    yield Decoder("arrays for a model (.npz)", seeds[:2], at("inputs.npz", _samples(inputs)), (InvalidInputError,))
    yield Decoder("arrays that lie (.npz)", seeds, at("lies.npz", _samples(inputs)), (InvalidInputError,))
    single = io.BytesIO()
    np.save(single, np.ones((3, 2), np.float32))
    yield Decoder("record of a run", (pack_record(_run_record()),), unpack_record, (MessageError,))
    arrays: dict[str, Any] = {"asked-0": np.ones((2, 3), np.float32), "stage-0": np.zeros((2, 0), np.uint8)}
    yield Decoder("tensors of a run", (pack_arrays(arrays),), unpack_arrays, (MessageError,))
    yield Decoder(
        "an array for a model (.npy)", (single.getvalue(),), at("one.npy", _samples(inputs[:1])), (InvalidInputError,)
    )


def _run_record() -> RunRecord:
    """Return a record of a run with a tensor of each kind: ordinary, empty, not finite, and one that nobody can read."""
    ordinary = signature_of(np.arange(24, dtype=np.float32).reshape(1, 3, 8))
    strange = signature_of(np.array([[np.nan, np.inf, 1.0]], np.float32))
    operator = RecordedOperator("conv", "Convolution", 1, (ordinary,), (strange, signature_of(np.zeros((1, 0)))))
    return RunRecord(
        engine="MNN 3.6.1",
        model="model.mnn",
        stages=(NamedTensor("resize", ordinary),),
        inputs=(NamedTensor("image", ordinary),),
        operators=(operator,),
        outputs=(NamedTensor("scores", unreadable((1, 2))),),
        note="a note",
    )


def _samples(inputs: Sequence[TensorInfo]) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        return stored_samples(path, inputs, 2)

    return read


def _lying_archives() -> Iterator[bytes]:
    """Yield archives whose arrays claim to be larger than they are, or than anything can be."""
    for shape in ("(1000000000, 2)", "(-1, 2)", "(2, 2, 2)", "(1" + ", 1" * 40 + ")"):
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
        array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"\0" * 16
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", array)
            archive.writestr("y.npy", array)
        yield content.getvalue()
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, "no array at all")
    yield text.getvalue()


def _onnx_models() -> tuple[bytes, ...]:
    value = helper.make_tensor_value_info
    kernel = numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [value("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("relu", TensorProto.FLOAT, None)],
        [kernel],
    )
    then = helper.make_graph([helper.make_node("Neg", ["c"], ["d"])], "then", [], [value("d", TensorProto.FLOAT, [1])])
    branch = helper.make_node("If", ["b"], ["e"], then_branch=then, else_branch=then)
    inputs = [value("b", TensorProto.BOOL, []), value("c", TensorProto.FLOAT, ["n"])]
    nested = helper.make_graph([branch], "nested", inputs, [value("e", TensorProto.FLOAT, [1])])
    opset = [helper.make_opsetid("", 13)]
    models = (helper.make_model(one, opset_imports=opset, ir_version=8) for one in (graph, nested))
    return tuple(onnx.ModelProto.SerializeToString(model) for model in models)
