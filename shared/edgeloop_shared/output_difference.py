"""How far an output of a model is from the same output of another model, or of the same one run otherwise."""

from __future__ import annotations

from dataclasses import dataclass


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
