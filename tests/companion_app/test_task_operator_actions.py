"""What an action at an operator makes of the run: tensors replaced, operators left out, runs aborted."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from companion_app.observed_models import IMAGE, WAVE, convolved, pooled
from companion_app.task_models import TABLE, random
from companion_app.task_reporter import Remembered
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError, RunAbortedError
from edgeloop_task import OperatorHit, tracing
from edgeloop_task.reporting import ConsoleReporter


def test_an_output_is_replaced(network: edgeloop_task.Model, reported: Remembered) -> None:
    other = random(1, 6, 8, 8)

    with edgeloop_task.break_on("conv", action=lambda hit: hit.replace(other)) as found:
        result = network(IMAGE)

    np.testing.assert_allclose(result, pooled(other), rtol=1e-4, atol=1e-5)
    assert found.hits[0].answer == "replace"
    assert found.hits[0].tensors[0].mean == pytest.approx(convolved(IMAGE).mean(), rel=1e-4)  # as it was


def test_an_input_is_replaced_from_a_file(network: edgeloop_task.Model, tmp_path: Path, reported: Remembered) -> None:
    other = random(1, 3, 8, 8) * 2
    np.save(tmp_path / "other.npy", other.astype(np.float64))

    with edgeloop_task.break_on("conv before", action=lambda hit: hit.replace(tmp_path / "other.npy")):
        result = network(IMAGE)

    np.testing.assert_allclose(result, pooled(convolved(other)), rtol=1e-4, atol=1e-4)


def test_tensors_in_the_packed_and_the_channels_last_layout_are_replaced(models: Path, reported: Remembered) -> None:
    packed, last = random(1, 5, 2, 2), random(1, 4, 5, 3)
    model = edgeloop_task.load_model(models / "packed.mnn")
    with edgeloop_task.break_on("negated before", action=lambda hit: hit.replace(packed)):
        np.testing.assert_array_equal(model(np.zeros_like(packed)), -packed)
    model = edgeloop_task.load_model(models / "channels-last.mnn")
    with edgeloop_task.break_on("scaled before", action=lambda hit: hit.replace(last)):
        np.testing.assert_allclose(model(np.zeros_like(last)), last * [1, 10, 100], rtol=1e-6)


def test_a_tensor_of_integers_is_looked_at_and_replaced(models: Path, reported: Remembered) -> None:
    model = edgeloop_task.load_model(models / "words.mnn")
    with edgeloop_task.break_on("vectors before", action=lambda hit: hit.replace([0, 0, 6, 6], tensor=1)) as found:
        result = model(np.array([1, 2, 3, 4]))

    np.testing.assert_array_equal(result, TABLE[[0, 0, 6, 6]])
    ids = found.hits[0].tensors[1]
    assert (ids.dtype, ids.min, ids.max, ids.first) == ("int32", 1, 4, (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.zeros((6, 8, 8)), r"\[6, 8, 8\] cannot replace output 0 of conv, which is \[1, 6, 8, 8\]"),
        (np.zeros((1, 6, 8, 8), complex), "is complex128, but the model takes float32"),
        (np.full((1, 6, 8, 8), 2**24 + 1), "its numbers would change"),
    ],
)
def test_an_array_that_does_not_fit_is_named(
    network: edgeloop_task.Model, value: NDArray[Any], complaint: str, reported: Remembered
) -> None:
    with (
        edgeloop_task.break_on("conv", action=lambda hit: hit.replace(value)),
        pytest.raises(InvalidInputError, match=complaint),
    ):
        network(IMAGE)
    np.testing.assert_allclose(network(IMAGE), pooled(convolved(IMAGE)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + bytes(18), b"text" * 100, b"\x80\x04N."]
)
def test_a_file_that_holds_no_array_is_refused(
    network: edgeloop_task.Model, tmp_path: Path, content: bytes, reported: Remembered
) -> None:
    path = tmp_path / "odd.npy"
    path.write_bytes(content)

    with edgeloop_task.break_on("conv", action=lambda hit: hit.replace(path)):
        with pytest.raises(InvalidInputError, match=r"odd\.npy is no `\.npy` file"):
            network(IMAGE)
        path.unlink()
        with pytest.raises(NotFoundError, match=r"odd\.npy"):
            network(IMAGE)


def test_a_tensor_that_there_is_not_cannot_be_replaced(network: edgeloop_task.Model, reported: Remembered) -> None:
    with (
        edgeloop_task.break_on("conv", action=lambda hit: hit.replace(0, tensor=1)),
        pytest.raises(InvalidInputError, match="has 1 tensors after it, and none has the number 1"),
    ):
        network(IMAGE)


def test_a_skipped_operator_hands_on_its_input_or_zeros(
    planted: edgeloop_task.Model, network: edgeloop_task.Model, reported: Remembered
) -> None:
    with edgeloop_task.break_on("root", action="skip") as found:
        handed_on = planted(WAVE)
    with edgeloop_task.break_on("conv", action="skip"):
        zeros = network(IMAGE)

    np.testing.assert_allclose(handed_on, -np.cos(np.sin(WAVE)), rtol=1e-3)
    np.testing.assert_array_equal(zeros, np.zeros((1, 6, 1, 1)))
    assert (found.hits[0].phase, found.hits[0].answer) == ("before", "skip")


def test_an_aborted_run_says_where_and_the_next_one_is_whole(
    network: edgeloop_task.Model, reported: Remembered
) -> None:
    seen = []
    with (
        edgeloop_task.break_on("conv", action="abort"),
        edgeloop_task.break_on("pooled*", action=lambda hit: seen.append(hit.name)),
        pytest.raises(RunAbortedError, match=r"run of network\.mnn was aborted after the operator conv") as caught,
    ):
        network(IMAGE)

    assert (caught.value.details["operator"], caught.value.details["index"]) == ("conv", 1)
    assert isinstance(caught.value, ModelError)
    assert not seen
    np.testing.assert_allclose(network(IMAGE), pooled(convolved(IMAGE)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("phase", ["before", "after"])
def test_what_an_action_raises_is_raised_by_the_run(
    network: edgeloop_task.Model, phase: str, reported: Remembered
) -> None:
    def fail(_hit: OperatorHit) -> None:
        raise ZeroDivisionError("mine")

    with edgeloop_task.break_on(f"conv {phase}", action=fail) as found, pytest.raises(ZeroDivisionError, match="mine"):
        network(IMAGE)
    assert found.hit_count == len(reported.hits) == 1


def test_control_c_ends_an_action(network: edgeloop_task.Model, reported: Remembered) -> None:
    before = signal.getsignal(signal.SIGINT)
    with (
        edgeloop_task.break_on("conv", action=lambda _hit: os.kill(os.getpid(), signal.SIGINT)),
        pytest.raises(KeyboardInterrupt),
    ):
        network(IMAGE)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_action_runs_other_models_but_not_its_own(
    network: edgeloop_task.Model, models: Path, reported: Remembered
) -> None:
    results: list[NDArray[Any]] = []
    other = edgeloop_task.load_model(models / "weights8.mnn")
    with edgeloop_task.break_on("conv in network.mnn", action=lambda _hit: results.append(other(IMAGE))):
        network(IMAGE)
    with (
        edgeloop_task.break_on("conv", action=lambda _hit: results.append(network(IMAGE))),
        pytest.raises(ModelError, match="called from within that run"),
    ):
        network(IMAGE)

    np.testing.assert_array_equal(results, [other(IMAGE)])


def test_dumped_tensors_are_files_of_the_run(network: edgeloop_task.Model, tmp_path: Path) -> None:
    before = edgeloop_task.reporting.current()
    edgeloop_task.reporting.use(ConsoleReporter(tmp_path))
    try:
        with edgeloop_task.break_on("conv", action="dump"), edgeloop_task.break_on("#1 before", action="dump"):
            network(IMAGE)
    finally:
        edgeloop_task.reporting.use(before)

    folder = tmp_path / "operators/network.mnn"
    assert "0-1-conv.out0.npy" in {path.name for path in folder.iterdir()}
    np.testing.assert_array_equal(np.load(folder / "0-1-conv.in0.npy"), IMAGE)
    np.testing.assert_allclose(np.load(folder / "0-1-conv.out0.npy"), convolved(IMAGE), rtol=1e-4, atol=1e-4)


def test_several_breakpoints_at_one_operator_act_in_their_order(
    network: edgeloop_task.Model, reported: Remembered
) -> None:
    means = []

    def halve(hit: OperatorHit) -> None:
        hit.replace(hit.outputs[0].array / 2)

    def note(hit: OperatorHit) -> None:
        means.append(hit.statistics.mean)

    with (
        edgeloop_task.break_on("conv", action=note),
        edgeloop_task.break_on("conv", action=halve),
        edgeloop_task.break_on("conv", action=note),
        edgeloop_task.break_on("conv", "mean < 0", action="abort"),
    ):
        result = network(IMAGE)

    assert means[1] == pytest.approx(means[0] / 2)
    np.testing.assert_allclose(result, pooled(convolved(IMAGE)) / 2, rtol=1e-4, atol=1e-4)


def test_a_trace_goes_on_beside_breakpoints_and_leaves_their_time_out(
    network: edgeloop_task.Model, reported: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000]  # which passes only while a run is stopped
    monkeypatch.setattr(tracing, "time", SimpleNamespace(perf_counter_ns=lambda: clock[0], time_ns=time.time_ns))

    def pause(_hit: OperatorHit) -> None:
        clock[0] += 100

    with (
        edgeloop_task.trace(),
        edgeloop_task.break_on("conv before", action=pause),
        edgeloop_task.break_on("conv after", action=pause),
    ):
        for _ in range(3):
            network(IMAGE)

    (table,) = reported.tables
    assert [operator.name for operator in table.operators][1] == "conv"
    assert [list(batch.duration_ns) for batch in reported.batches] == [[0] * len(table.operators)] * 3
    assert [list(batch.begin_ns[:3]) for batch in reported.batches] == [
        [1000, 1100, 1200],
        [1200, 1300, 1400],
        [1400, 1500, 1600],
    ]


def test_a_trace_outlives_an_aborted_run(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.trace():
        with edgeloop_task.break_on("conv @0", action="abort"), pytest.raises(RunAbortedError):
            network(IMAGE)
        network(IMAGE)

    assert [len(table.operators) for table in reported.tables] == [2, 4]
    assert [len(batch) for batch in reported.batches] == [2, 4]


def test_a_hit_ends_with_its_stop(network: edgeloop_task.Model, reported: Remembered) -> None:
    kept: list[OperatorHit] = []
    with edgeloop_task.break_on("conv", action=kept.append, reports=0):
        network(IMAGE)

    for use in (lambda: kept[0].outputs[0].array, lambda: kept[0].statistics.mean):
        with pytest.raises(ModelError, match="The run has gone on"):
            use()


def test_an_operator_that_has_run_cannot_be_skipped(network: edgeloop_task.Model, reported: Remembered) -> None:
    with (
        edgeloop_task.break_on("conv", action=OperatorHit.skip),
        pytest.raises(InvalidInputError, match="has run already"),
    ):
        network(IMAGE)
