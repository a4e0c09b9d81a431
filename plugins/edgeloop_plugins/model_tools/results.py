"""What the model tools answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSummary:
    """An input or output. `shape` has -1 where a size is open, and is None where the model does not tell it."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    layout: str = ""


@dataclass(frozen=True)
class OperatorSummary:
    """An operator. `weights` counts its weights, `weight_bytes` includes biases and scales; `bits` are those of one weight.

    `block` is the number of input channels that share a scale (0: one scale per output channel).
    """

    name: str
    type: str
    weights: int = 0
    weight_bytes: int = 0
    bits: int | None = None
    asymmetric: bool = False
    block: int = 0
    graph: str = ""


@dataclass(frozen=True)
class OperatorCount:
    """How often a type of operator occurs."""

    type: str
    count: int


@dataclass(frozen=True)
class BitsShare:
    """How much of a model is stored with `bits` per weight (None: not known)."""

    bits: int | None
    weights: int
    operators: int


@dataclass(frozen=True)
class LeftOut:
    """An operator whose weights were not changed, and why."""

    name: str
    type: str
    weights: int
    reason: str


@dataclass(frozen=True)
class ConvertResult:
    """Result of `convert`; `notes` tells what else should be known."""

    output: str
    source_bytes: int
    output_bytes: int
    inputs: tuple[TensorSummary, ...]
    outputs: tuple[str, ...]
    operators: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuantizeResult:
    """Result of `quantize`. `fraction_changed` is the part of all weights that is stored as asked now."""

    output: str
    source_bytes: int
    output_bytes: int
    ratio: float
    bits: int
    fraction_changed: float
    operators_changed: int
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InspectResult:
    """Result of `inspect`.

    `bytes` is the file's size, with external weights where there are any; `fraction_quantised` the part of the weights that
    is stored with 8 bits or fewer. `source` is what the model was made from, `producer` who made it, `version` MNN's
    version or ONNX's opset.
    """

    model: str
    format: str
    version: str
    producer: str
    source: str
    bytes: int
    weight_bytes: int
    weights: int
    fraction_quantised: float
    inputs: tuple[TensorSummary, ...]
    outputs: tuple[TensorSummary, ...]
    bits: tuple[BitsShare, ...]
    operator_counts: tuple[OperatorCount, ...]
    operators: tuple[OperatorSummary, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the reference's over all samples.

    `cosine` and `snr_db` are None where they are not defined (nothing but zeros; no difference at all for the ratio).
    `top1_agreement` is the part of the samples whose largest score is the same, None for outputs that are no scores.
    `not_finite` counts values that are NaN or infinite on either side; the other figures leave them out.
    """

    output: str
    max_abs: float
    mean_abs: float
    cosine: float | None
    snr_db: float | None
    top1_agreement: float | None
    not_finite: int


@dataclass(frozen=True)
class Latency:
    """Time per run on this computer in milliseconds, one thread: over all runs, and the median of each interleaved round."""

    p50_ms: float
    p90_ms: float
    rounds_p50_ms: tuple[float, ...]


@dataclass(frozen=True)
class VariantComparison:
    """A variant beside the reference. `ratio` is its size over the reference's.

    `latency_verdict` is `faster`, `slower`, or `below the noise` where the ranges of both models' rounds overlap or the
    medians differ by less than 3 %.
    """

    model: str
    bytes: int
    ratio: float
    latency: Latency
    latency_verdict: str
    differences: tuple[OutputDifference, ...]


@dataclass(frozen=True)
class CompareResult:
    """Result of `compare`; `inputs` says what the models were run on."""

    reference: str
    reference_bytes: int
    reference_latency: Latency
    samples: int
    inputs: str
    variants: tuple[VariantComparison, ...]
    notes: tuple[str, ...] = ()
