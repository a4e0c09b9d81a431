"""What the model tools are asked with."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop import DataPath, ModelPath


@dataclass(frozen=True)
class ConvertParameters:
    """Parameters of `convert`."""

    model: ModelPath = field(metadata={"description": "the ONNX model"})
    output: ModelPath | None = field(
        default=None, metadata={"description": "the MNN model to write; by default beside the ONNX model"}
    )
    fp16: bool = field(default=False, metadata={"description": "store weights as 16-bit floats"})


@dataclass(frozen=True)
class QuantizeParameters:
    """Parameters of `quantize`."""

    model: ModelPath = field(metadata={"description": "the MNN model, with weights of 32 bits"})
    output: ModelPath | None = field(
        default=None, metadata={"description": "the model to write; by default MODEL-int8.mnn and so on, beside it"}
    )
    bits: int | None = field(
        default=None, metadata={"ge": 2, "le": 8, "description": "bits per weight; 8 unless fp16 is asked for"}
    )
    fp16: bool = field(default=False, metadata={"description": "store weights as 16-bit floats instead"})
    asymmetric: bool = field(default=False, metadata={"description": "give every channel a zero point of its own"})
    block: int = field(
        default=0,
        metadata={
            "ge": 0,
            "le": 65536,
            "description": "input channels that share a scale; 0: one scale per output channel",
        },
    )
    hqq: bool = field(
        default=False, metadata={"description": "fit the zero points (half-quadratic quantisation); implies asymmetric"}
    )


@dataclass(frozen=True)
class InspectParameters:
    """Parameters of `inspect`."""

    model: ModelPath = field(metadata={"description": "an MNN or ONNX model"})


@dataclass(frozen=True)
class CompareParameters:
    """Parameters of `compare`."""

    reference: ModelPath = field(metadata={"description": "the MNN model that the variants should agree with"})
    variants: tuple[ModelPath, ...] = field(
        metadata={"min_length": 1, "max_length": 32, "description": "the models to compare with it"}
    )
    inputs: DataPath | None = field(
        default=None,
        metadata={
            "description": "an .npz with an array per input name, or an .npy for a model with one input; the first axis"
            " counts samples. Random numbers by default"
        },
    )
    samples: int = field(
        default=64, metadata={"ge": 1, "le": 100_000, "description": "how many samples to compare on, at most"}
    )
    seed: int = field(default=0, metadata={"ge": 0, "description": "seed of the random inputs"})
