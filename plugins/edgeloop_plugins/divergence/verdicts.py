"""The verdict in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from edgeloop_plugins.divergence.findings import Finding
from edgeloop_plugins.divergence.matching import Pair, plain_type
from edgeloop_plugins.divergence.report import decibels
from edgeloop_plugins.divergence.results import ExactDifference, StageComparison
from edgeloop_task.tensor_signature import snr_db

Source = Callable[[str], str]
"""Returns the source node of an operator in words, nothing where it is not known."""


def agreement(pairs: Sequence[Pair], tensors: Sequence[StageComparison]) -> str:
    """Return the verdict where nothing differs; `tensors` are what was compared beside operators."""
    known = [pair for pair in pairs if pair.error_out is not None]
    if not known:
        return f"Both sides agree in what can be compared: {', '.join(one.name for one in tensors) or 'nothing'}."
    worst = max(known, key=lambda pair: pair.error_out or 0.0)
    if not worst.error_out:
        return f"Both sides agree at all {len(known)} operators: no bit differs."
    return (
        f"Both sides agree at all {len(known)} operators; the worst is {worst.operator.name} with an SNR of "
        f"{snr_db(worst.error_out):.0f} dB."
    )


def verdict_on(finding: Finding, source_of: Source, exact: ExactDifference | None) -> str:
    """Return the verdict on what was found at an operator; `exact` is the difference from the numbers, as far as it was fetched."""
    pair = finding.pair
    assert pair is not None
    source = source_of(pair.operator.name)
    node = f", ONNX node {source}" if source else ""
    where = f"{pair.operator.name} ({plain_type(pair.operator.type)}{node})"
    if finding.kind == "not-finite":
        ours, theirs = (sum(one.figures.not_finite for one in side.outputs) for side in (pair.operator, pair.reference))
        of = sum(one.figures.count for one in pair.operator.outputs)
        if finding.is_on_both_sides:
            return (
                f"Both sides compute NaN from the operator {where} on: {ours} of {of} values, out of finite inputs. What "
                "follows cannot be compared."
            )
        return (
            f"NaN or infinity begins at the operator {where}: {ours} of {of} values on the device, {theirs} in the "
            "reference, out of finite inputs."
        )
    error = pair.error_out or 0.0
    out = decibels(snr_db(error)) if math.isfinite(error) else "no measure"
    if exact is not None and exact.snr_db is not None and exact.values == exact.of:
        out = decibels(exact.snr_db)  # better than what the signatures tell
    if finding.kind == "drift":
        added = ", ".join(_added(one, source_of) for one in finding.contributors)
        return f"The difference grows little by little and exceeds the bound at {where}: SNR {out}. The most is added by {added}."
    given = "its inputs agree" if not pair.error_in else f"its inputs agree to {decibels(snr_db(pair.error_in))}"
    return f"The device and the reference diverge at the operator {where}: {given}, its output only to {out}."


def verdict_on_stage(first: StageComparison, before: Sequence[StageComparison]) -> str:
    """Return the verdict on the first stage that differs."""
    known = f"{before[-1].name!r} before it agrees" if before else "it is the first one"
    return f"The preprocessing differs at the stage {first.name!r} ({_how(first)}); {known}."


def verdict_on_output(wrong: StageComparison, *, has_operators: bool) -> str:
    """Return the verdict on an output that differs though no operator was seen to."""
    rest = ", and no operator that can be compared does: see what is without counterpart" if has_operators else ""
    return f"The output {wrong.name!r} differs ({_how(wrong)}){rest}."


def _how(one: StageComparison) -> str:
    return one.note or f"SNR {decibels(one.snr_db)}"


def _added(pair: Pair, source_of: Source) -> str:
    source = source_of(pair.operator.name)
    return f"{source or pair.operator.name} ({decibels(snr_db(pair.error_out or 0.0))} behind it)"
