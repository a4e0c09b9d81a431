"""Metrics that a training prints: lines of JSON that hold a `step` and numbers, so that scripts need no library.

    {"step": 120, "loss": 0.31, "accuracy": 0.94, "epoch": 3, "epochs": 15}

`epoch` of `epochs`, or `progress` in 0..1, say how far the work is; they are no metrics.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeloop_shared.errors import InvalidInputError

MAX_LINE = 64 * 1024
MAX_TAG = 200
_NOT_METRICS = frozenset({"step", "epoch", "epochs", "progress"})


@dataclass(frozen=True)
class MetricPoint:
    """One point of a curve."""

    tag: str
    step: int
    value: float


def parse_metrics(line: str) -> tuple[MetricPoint, ...]:
    """Return the points that a log line holds, in its order; () for a line that is no such JSON object.

    The object must hold a `step`, an integer from 0 to 2**63 - 1. Values that are no finite numbers are left out, and so are
    names that are empty, longer than `MAX_TAG` or not printable.
    """
    record = _json_object(line)
    step = record.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
        return ()
    numbers = ((tag, _finite(value)) for tag, value in record.items() if tag not in _NOT_METRICS)
    return tuple(MetricPoint(tag, step, value) for tag, value in numbers if value is not None and _is_tag(tag))


def parse_progress(line: str) -> float | None:
    """Return the fraction in 0..1 that a log line reports as `progress` or as `epoch` of `epochs`, or None."""
    record = _json_object(line)
    progress = _finite(record.get("progress"))
    if progress is None:
        epoch, epochs = _finite(record.get("epoch")), _finite(record.get("epochs"))
        if epoch is None or epochs is None or epochs <= 0:
            return None
        progress = epoch / epochs
    return progress if 0 <= progress <= 1 else None


def check_point(tag: str, step: int) -> None:
    """Raise `InvalidInputError` for a tag or a step that no curve can have."""
    if not 0 < len(tag) <= MAX_TAG or not 0 <= step < 2**63:
        raise InvalidInputError(
            f"The metric {tag[:MAX_TAG]!r} at step {step} cannot be recorded.",
            hint=f"A tag has 1 to {MAX_TAG} characters; steps count from 0.",
        )


def _is_tag(name: str) -> bool:
    return 0 < len(name) <= MAX_TAG and name.isprintable()


def _json_object(line: str) -> Mapping[str, Any]:
    text = line.strip()
    if not text.startswith("{") or len(text) > MAX_LINE:
        return {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
