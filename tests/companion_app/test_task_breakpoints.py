"""Breakpoints on operators: what is found there, and what an action makes of the run."""

from __future__ import annotations

import gc
import io
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from companion_app.task_models import KERNEL, TABLE, random
from companion_app.task_reporter import Remembered
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_companion.runtime.reports import read_report
from edgeloop_shared.errors import InvalidInputError, ModelError, NotFoundError, RunAbortedError
from edgeloop_task import OperatorHit, native_tensors, tracing
from edgeloop_task.reporting import ChannelReporter, ConsoleReporter

IMAGE = random(1, 3, 8, 8)
WAVE = np.array([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]], np.float32)  # the sine of -1 has no root


@pytest.fixture
def network(models: Path) -> Iterator[edgeloop_task.Model]:
    with edgeloop_task.load_model(models / "network.mnn") as model:
        yield model


@pytest.fixture
def planted(models: Path) -> Iterator[edgeloop_task.Model]:
    with edgeloop_task.load_model(models / "planted.mnn") as model:
        yield model


def convolved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the operator `conv` of the network computes."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    result: NDArray[np.float32] = np.maximum(np.einsum("nchwij,ocij->nohw", windows, KERNEL), 0)
    return result


def pooled(features: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any] = features.mean(axis=(2, 3), keepdims=True)
    return mean


def test_a_planted_nan_is_found_where_it_is_made(planted: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.watch("nan_count > 0") as found:
        planted(WAVE)

    (hit,) = found.hits
    assert (hit.model, hit.operator, hit.operator_type, hit.index, hit.iteration) == (
        "planted.mnn",
        "root",
        "UnaryOp",
        1,
        0,
    )
    assert (hit.tensors[0].nan_count, hit.tensors[0].count, hit.tensors[0].inf_count) == (1, 6, 0)
    assert hit.tensors[0].max == pytest.approx(np.sqrt(np.sin(1.5)), rel=1e-4)
    assert hit.tensors[0].first[4] == "nan"
    assert reported.hits == [hit]


def test_a_condition_may_compare_an_operators_two_sides(planted: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.break_on("*", "nan_count > 0") as tainted:
        planted(WAVE)
    with edgeloop_task.break_on("*", "nan_count > 0 and in[0].nan_count == 0") as made:
        planted(WAVE)

    assert [hit.operator for hit in tainted.hits] == ["root", "again", "y"]
    assert [hit.operator for hit in made.hits] == ["root"]


def test_nothing_is_found_where_nothing_is_wrong(planted: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.watch("nan_count > 0 or inf_count > 0") as found:
        planted(np.abs(WAVE))
    planted(WAVE)

    assert found.hit_count == 0
    assert not reported.hits


def test_a_hit_shows_the_tensors_on_both_sides(network: edgeloop_task.Model, reported: Remembered) -> None:
    seen: dict[str, NDArray[Any]] = {}

    def look(hit: OperatorHit) -> None:
        seen.update(image=hit.inputs[0].array, features=np.asarray(hit.outputs[0]))
        assert hit.statistics.mean == pytest.approx(hit.outputs[0].array.mean(), rel=1e-5)
        assert (hit.tensor.shape, hit.tensor.dtype) == ((1, 6, 8, 8), "float32")

    with edgeloop_task.break_on("type:Convolution", action=look):
        network(IMAGE)

    np.testing.assert_array_equal(seen["image"], IMAGE)
    np.testing.assert_allclose(seen["features"], convolved(IMAGE), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("file", ["network.mnn", "weights8.mnn", "integers.mnn"])
def test_quantised_models_show_real_numbers(models: Path, file: str, reported: Remembered) -> None:
    with edgeloop_task.load_model(models / file) as model, edgeloop_task.break_on("type:Convolution") as found:
        model(IMAGE)

    (hit,) = found.hits
    assert hit.tensors[0].dtype == "float32"
    assert hit.tensors[0].mean == pytest.approx(convolved(IMAGE).mean(), rel=0.05)


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


def test_a_recording_is_let_go(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.record() as recording:
        network(IMAGE)
    kept = weakref.ref(recording)
    del recording
    network(IMAGE)

    gc.collect()
    assert kept() is None


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


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("conv @2", [(2, "conv")]),
        ("conv @1..3", [(1, "conv"), (2, "conv"), (3, "conv")]),
        ("#1 @3..", [(3, "conv"), (4, "conv"), (5, "conv")]),
        ("type:Conv* every 2", [(0, "conv"), (2, "conv"), (4, "conv")]),
        ("op:co?v @1.. every 4", [(1, "conv"), (5, "conv")]),
        ("conv in other*.mnn", []),
    ],
)
def test_runs_are_counted_from_the_first(
    network: edgeloop_task.Model, selector: str, expected: list[tuple[int, str]], reported: Remembered
) -> None:
    with edgeloop_task.break_on(selector) as found:
        for _ in range(6):
            network(IMAGE)
            network.time(IMAGE, repeats=1, warmup=0)  # which does not count, and is not stopped

    assert [(hit.iteration, hit.operator) for hit in found.hits] == expected


def test_conditions_know_the_run(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.break_on("*", "iteration >= 1 and index == 1 and hits < 2 and std > 0") as found:
        for _ in range(5):
            network(IMAGE)

    assert [(hit.iteration, hit.index, hit.hit) for hit in found.hits] == [(1, 1, 1), (2, 1, 2)]


def test_a_condition_holds_for_any_output_or_for_a_named_one(models: Path, reported: Remembered) -> None:
    x = np.array([[1, 2, 3, 4, 50], [5, 40, 3, 2, 1]], np.float32)
    with edgeloop_task.load_model(models / "largest.mnn") as model:
        with (
            edgeloop_task.break_on("*", "abs_max < 10") as small,
            edgeloop_task.break_on("*", "out[0].max == 50") as big,
        ):
            model.run(x)
        with edgeloop_task.break_on("*", "out[2].count > 0 or not isnan(in[7].mean)") as none:
            model.run(x)

    assert [(hit.tensor, hit.tensors[hit.tensor].dtype) for hit in small.hits] == [(1, "int32")]
    assert big.hit_count == 1
    assert none.hit_count == 0


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


def test_new_shapes_are_learned_anew(models: Path, reported: Remembered) -> None:
    with edgeloop_task.load_model(models / "open.mnn") as model, edgeloop_task.break_on("conv") as found:
        for size in (4, 4, 9, 4):
            model(random(1, 3, size, size))

    assert [hit.tensors[0].shape[2] for hit in found.hits] == [4, 4, 9, 4]


def test_threads_share_a_breakpoint(models: Path, reported: Remembered) -> None:
    def use(model: edgeloop_task.Model) -> None:
        for _ in range(20):
            model(IMAGE)

    with (
        edgeloop_task.load_model(models / "network.mnn") as first,
        edgeloop_task.load_model(models / "weights8.mnn") as second,
        edgeloop_task.break_on("conv") as found,
    ):
        threads = [threading.Thread(target=use, args=(model,)) for model in (first, first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found.hit_count == 60
    assert sorted(hit.hit for hit in found.hits) == list(range(1, 61))
    assert sorted(hit.iteration for hit in found.hits if hit.model == "network.mnn") == list(range(40))


def test_a_flood_of_hits_is_counted_and_its_reports_end(network: edgeloop_task.Model, reported: Remembered) -> None:
    with edgeloop_task.break_on("*", reports=5) as found:
        network(IMAGE)
        network(IMAGE)

    assert found.hit_count == 8
    assert [hit.is_last for hit in reported.hits] == [False, False, False, False, True]


def test_only_what_a_breakpoint_asks_for_is_read(
    network: edgeloop_task.Model, reported: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    view_of = native_tensors.HostMemory.view_of

    def noting(self: native_tensors.HostMemory, tensor: Any, what: str) -> NDArray[Any]:
        read.append(what)
        return view_of(self, tensor, what)

    monkeypatch.setattr(native_tensors.HostMemory, "view_of", noting)
    with (
        edgeloop_task.break_on("conv", "abs_max > 1e9"),
        edgeloop_task.break_on("* @7"),
        edgeloop_task.break_on("pooled_raster_0", "iteration > 5 and std == 0"),
    ):
        network(IMAGE)
        network(IMAGE)

    assert read == ["output 0 of conv"] * 2


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
    assert [batch.begin_ns[:3] for batch in reported.batches] == [
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


def test_a_hit_ends_with_its_stop(network: edgeloop_task.Model, reported: Remembered) -> None:
    kept: list[OperatorHit] = []
    with edgeloop_task.break_on("conv", action=kept.append, reports=0):
        network(IMAGE)

    for use in (lambda: kept[0].outputs[0].array, lambda: kept[0].statistics.mean):
        with pytest.raises(ModelError, match="The run has gone on"):
            use()


def test_a_model_with_control_flow_cannot_be_observed(models: Path, reported: Remembered) -> None:
    grid = np.ones((2, 3), np.float32)
    with edgeloop_task.load_model(models / "branch.mnn") as model:
        with (
            edgeloop_task.break_on("*"),
            pytest.raises(ModelError, match=r"operators of branch\.mnn cannot be observed"),
        ):
            model(grid)
        with edgeloop_task.break_on("* in other.mnn"):
            np.testing.assert_array_equal(model(grid), 2 * grid)


def test_a_selector_without_operators_is_told_once(
    network: edgeloop_task.Model, reported: Remembered, capsys: pytest.CaptureFixture[str]
) -> None:
    with edgeloop_task.break_on("nothing*") as nothing, edgeloop_task.break_on("conv*") as something:
        network(IMAGE)
        network(IMAGE)

    assert nothing.matches == {"network.mnn": ()}
    assert something.matches == {"network.mnn": ("conv_raster_0", "conv")}
    assert capsys.readouterr().err.count("op:nothing* matches no operator of network.mnn") == 1


def test_a_hit_is_a_line_on_a_pc(
    planted: edgeloop_task.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = edgeloop_task.reporting.current()
    edgeloop_task.reporting.use(ConsoleReporter(tmp_path))
    try:
        with edgeloop_task.watch("nan_count > 0", reports=1):
            planted(WAVE)
    finally:
        edgeloop_task.reporting.use(before)

    out, err = capsys.readouterr()
    assert not out
    first, last = err.splitlines()
    assert first.startswith("op:* when nan_count > 0: root (UnaryOp #1), run 0: out[0] float32 [2, 3], 1 NaN, min ")
    assert last == "op:* when nan_count > 0: 1 hits; further ones are counted, not told"


def test_the_example_of_the_documentation_finds_the_nan(
    models: Path, reported: Remembered, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/operators.md").read_text()
    monkeypatch.chdir(models)
    exec(page.partition("```python\n")[2].partition("```")[0], {})

    assert capsys.readouterr().out == "root (UnaryOp) is the first with a NaN\n"


def test_a_hit_reaches_the_companion(planted: edgeloop_task.Model, reported: Remembered) -> None:
    stream = io.BytesIO()
    edgeloop_task.reporting.use(ChannelReporter(stream))
    with edgeloop_task.watch("nan_count > 0") as found:
        planted(WAVE)

    assert read_report(stream.getvalue()[4:]) == found.hits[0]  # behind the length of the only frame


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: edgeloop_task.break_on("conv after", action="skip"), "cannot be skipped after it has run"),
        (lambda: edgeloop_task.break_on("conv", action="explode"), "no action 'explode'"),  # type: ignore[arg-type]
        (lambda: edgeloop_task.break_on("conv before", "out[0].mean > 0"), "do not exist before"),
        (lambda: edgeloop_task.watch("cosine_to_reference < 1", "* before", reference="."), "do not exist before"),
        (lambda: edgeloop_task.watch("cosine_to_reference < 1"), "none was given"),
        (lambda: edgeloop_task.break_on("conv", "mean"), "a condition is true or false"),
        (lambda: edgeloop_task.break_on("conv @"), "`@` is no part of a selector"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        make()
    assert caught.value.hint


def test_an_operator_that_has_run_cannot_be_skipped(network: edgeloop_task.Model, reported: Remembered) -> None:
    with (
        edgeloop_task.break_on("conv", action=OperatorHit.skip),
        pytest.raises(InvalidInputError, match="has run already"),
    ):
        network(IMAGE)
