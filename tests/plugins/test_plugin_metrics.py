"""Metrics and progress in log lines."""

from __future__ import annotations

import pytest

from edgeloop import MetricPoint, parse_metrics
from edgeloop.metrics import parse_progress


def test_numbers_beside_a_step_are_points() -> None:
    assert parse_metrics(' {"step": 3, "loss": 0.5, "accuracy": 1, "phase": "train"}\n') == (
        MetricPoint("loss", 3, 0.5),
        MetricPoint("accuracy", 3, 1.0),
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3: loss 0.5",
        '{"loss": 0.5}',
        '{"step": 1.0, "loss": 0.5}',
        '{"step": true, "loss": 0.5}',
        '{"step": "1", "loss": 0.5}',
        '{"step": -1, "loss": 0.5}',
        '{"step": 9223372036854775808, "loss": 0.5}',
        '{"step": 1, "loss": NaN}',
        '{"step": 1, "loss": 1e999}',
        '{"step": 1, "loss": 1' + "0" * 400 + "}",
        '{"step": 1, "loss": true, "name": "x", "nested": {"loss": 1}, "list": [1]}',
        '{"step": 1, "": 1, "a\\nb": 1, "\\ud800": 1, "' + "x" * 201 + '": 1}',
        '{"step": 1, "epoch": 3, "epochs": 15, "progress": 0.5}',
        '{"step": 1, "loss": 0.5',
        "[1, 2]",
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"step": 1, "loss": 0.5}' + " " * 70_000 + "x",
    ],
)
def test_anything_else_holds_no_points(line: str) -> None:
    assert parse_metrics(line) == ()


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ('{"progress": 0.25}', 0.25),
        ('{"step": 1, "epoch": 3, "epochs": 4}', 0.75),
        ('{"progress": 0.5, "epoch": 3, "epochs": 4}', 0.5),
        ('{"progress": 1.5}', None),
        ('{"epoch": 3}', None),
        ('{"epoch": 3, "epochs": 0}', None),
        ('{"epoch": 5, "epochs": 4}', None),
        ("50%", None),
    ],
)
def test_progress_is_a_fraction_or_epochs(line: str, fraction: float | None) -> None:
    assert parse_progress(line) == fraction
