"""What a divergence search is asked with."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop import DataPath, ModelPath
from edgeloop_shared.benchmarks import MAX_THREADS, Backend, Precision


@dataclass(frozen=True)
class DivergeParameters:
    """Parameters of `diverge`."""

    model: ModelPath = field(
        metadata={
            "description": "the MNN model that runs on the device; or a script (.py), of which the stages and its first model are "
            "compared"
        }
    )
    arguments: tuple[str, ...] = field(
        default=(), metadata={"max_length": 256, "description": "an argument of the script"}
    )
    device: str | None = field(
        default=None,
        metadata={"description": "which device, by id or name; edgeloop.toml's or the only linked one by default"},
    )
    against: str = field(
        default="host",
        metadata={
            "max_length": 512,
            "description": "what to compare with: host; onnxruntime, or an .onnx file that it runs; device:NAME; "
            "BACKEND[:PRECISION[:THREADS]] on the same device; or an .npz that --save wrote",
        },
    )
    reference: ModelPath | None = field(
        default=None,
        metadata={"description": "the model that the other side runs, the fp32 one say; MODEL itself by default"},
    )
    source: ModelPath | None = field(
        default=None,
        metadata={"description": "the ONNX model that MODEL was converted from; MODEL.onnx beside it by default"},
    )
    input: DataPath | None = field(
        default=None,
        metadata={
            "description": "an .npz with an array per input name, or an .npy; its first sample is taken. Random numbers by default"
        },
    )
    backend: Backend = field(default="cpu", metadata={"description": "MNN's backend on the device"})
    precision: Precision = field(default="normal", metadata={"description": "MNN's precision on the device"})
    threads: int = field(
        default=1, metadata={"ge": 1, "le": MAX_THREADS, "description": "how many threads on the device"}
    )
    min_snr: float | None = field(
        default=None,
        metadata={
            "ge": 0,
            "le": 200,
            "description": "the least signal-to-noise ratio in dB that counts as agreement; what the weights' bits and the "
            "precision allow by default",
        },
    )
    max_bytes: int = field(
        default=2 * 1024**2,
        metadata={
            "ge": 1024,
            "le": 256 * 1024**2,
            "description": "how many bytes of whole tensors a device may be asked for",
        },
    )
    save: DataPath | None = field(
        default=None, metadata={"description": "keep the other side's tensors in this .npz, to compare with later"}
    )
    all: bool = field(
        default=False, metadata={"description": "list all operators, not only those around the first that differs"}
    )
