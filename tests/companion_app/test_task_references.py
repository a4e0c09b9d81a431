"""Runs that are compared with recorded ones."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from companion_app.observed_models import IMAGE
from companion_app.task_models import random
from companion_app.task_reporter import Remembered

import edgeloop_task
from edgeloop_shared.errors import NotFoundError
from edgeloop_task import OperatorHit


def test_a_recording_is_let_go(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.record() as recording:
        network(IMAGE)
    kept = weakref.ref(recording)
    del recording
    network(IMAGE)

    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("in_folder", [True, False])
def test_a_run_is_compared_with_a_recorded_one(
    network: edgeloop_task.Model, models: Path, tmp_path: Path, reported: Remembered, in_folder: bool
) -> None:
    with edgeloop_task.record(tmp_path / "reference" if in_folder else None) as reference:
        network(IMAGE)
    source: Any = tmp_path / "reference" if in_folder else reference

    def spoil(hit: OperatorHit) -> None:
        hit.replace(-hit.outputs[0].array)

    with edgeloop_task.watch("cosine_to_reference < 0.99", reference=source) as alike:
        network(IMAGE)
    with (
        edgeloop_task.break_on("conv", action=spoil, reports=0),
        edgeloop_task.watch("cosine_to_reference < 0.99", reference=source) as found,
        edgeloop_task.watch("max_abs_difference_to_reference > 1e-3", "pool*", reference=source) as later,
    ):
        network(IMAGE)

    assert alike.hit_count == 0
    assert [hit.operator for hit in found.hits] == ["conv"]
    assert [hit.operator for hit in later.hits] == ["pooled_raster_0"]
    quantised = edgeloop_task.load_model(models / "weights8.mnn")
    with edgeloop_task.break_on("conv", "0.99 < cosine_to_reference < 1", reference=source) as near:
        quantised(IMAGE)
    assert near.hit_count == 1


def test_references_of_other_shapes_and_missing_ones_never_hold(models: Path, reported: Remembered) -> None:
    with edgeloop_task.load_model(models / "open.mnn") as model:
        with edgeloop_task.record(on="conv") as reference:
            model(random(1, 3, 4, 4))
        with edgeloop_task.watch("cosine_to_reference < 2", reference=reference) as found:
            model(random(1, 3, 9, 9))
            model(random(1, 3, 4, 4))

    assert [(hit.iteration, hit.operator) for hit in found.hits] == [(2, "conv")]
    with pytest.raises(NotFoundError, match="no folder of references"):
        edgeloop_task.watch("cosine_to_reference < 1", reference=models / "nowhere")
