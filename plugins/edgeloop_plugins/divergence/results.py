"""What a divergence search found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

FindingKind = Literal["none", "stage", "not-finite", "operator", "drift", "output"]
"""What was found first: nothing; a stage of the preprocessing; NaN or infinity that begins at an operator; an operator that is
wrong by itself; differences that grow little by little; outputs of a model that shows no operators."""


def finite(value: float) -> float | None:
    """Return a figure as results hold it: None where it is infinite or no number."""
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Side:
    """One side of the comparison: where it ran, which file, and how."""

    place: str
    model: str
    options: str
    engine: str


@dataclass(frozen=True)
class ExactDifference:
    """The difference of a tensor from its reference, computed from the numbers themselves, of `values` of them.

    Where the tensor is larger than what a device is asked for, these are the slices along its second axis that differ most.
    Figures are None where one side is not finite. `index` is where the difference is largest, in the whole tensor;
    `found` and `expected` are the values there, as text since they may be NaN.
    """

    tensor: str
    values: int
    of: int
    cosine: float | None
    snr_db: float | None
    max_relative_error: float | None
    mismatches: int
    index: tuple[int, ...]
    found: str
    expected: str
    spread: str


@dataclass(frozen=True)
class StageComparison:
    """A stage of the script. `snr_db` is None where nothing differs or where it cannot be told, as `note` says."""

    name: str
    shape: tuple[int, ...]
    reference_shape: tuple[int, ...]
    snr_db: float | None
    agrees: bool
    note: str = ""


@dataclass(frozen=True)
class OperatorComparison:
    """An operator on both sides, in the order in which the device runs them.

    `in_snr_db` and `out_snr_db` say how far its inputs and its outputs are from the reference's: None where no bit differs, as
    `in_exact` and `out_exact` say, and where it cannot be told. `source` is the node of the source model, where its name survived
    the conversion.
    """

    index: int
    name: str
    type: str
    source: str
    shape: tuple[int, ...]
    in_snr_db: float | None
    out_snr_db: float | None
    agrees: bool
    in_exact: bool = False
    out_exact: bool = False
    note: str = ""


@dataclass(frozen=True)
class DivergeResult:
    """Result of `diverge`.

    `verdict` is in words; `operator` and `source` name the culprit, if it is one. `causes` say what explains it, as far as an
    experiment or the files show. `min_snr_db` is the bound that was applied. `sent_bytes` and `received_bytes` are those of files
    over the link. `report` is all of this for a reader, 80 columns wide; `exit_status` is 0 where both sides agree and else 1.
    """

    report: str
    exit_status: int
    finding: FindingKind
    verdict: str
    causes: tuple[str, ...]
    device: Side
    reference: Side
    inputs: str
    min_snr_db: float
    stage: str = ""
    operator: str = ""
    operator_type: str = ""
    source: str = ""
    difference: ExactDifference | None = None
    stages: tuple[StageComparison, ...] = ()
    operators: tuple[OperatorComparison, ...] = ()
    unmatched: tuple[str, ...] = ()
    outputs: tuple[StageComparison, ...] = ()
    sent_bytes: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
