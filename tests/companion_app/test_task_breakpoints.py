"""Breakpoints on operators: which they are for, when they hit, and what is found there."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.observed_models import IMAGE, WAVE, convolved
from companion_app.task_models import random
from companion_app.task_reporter import Remembered
from numpy.typing import NDArray

import edgeloop_task
from edgeloop_companion.runtime.reports import read_report
from edgeloop_shared.conversions import Node, write_conversion
from edgeloop_shared.errors import InvalidInputError, ModelError
from edgeloop_shared.operator_hits import hit_lines
from edgeloop_task import OperatorHit, native_tensors
from edgeloop_task.reporting import ChannelReporter, ConsoleReporter


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


def test_an_operator_may_be_called_by_its_node_and_a_hit_names_that(
    models: Path, tmp_path: Path, reported: Remembered
) -> None:
    copy = Path(shutil.copy(models / "planted.mnn", tmp_path))
    write_conversion(copy, "planted.onnx", {"root": Node("/head/Sqrt_1", "Sqrt")})
    with edgeloop_task.load_model(copy) as model:
        with edgeloop_task.break_on("op:/head/*", action=lambda hit: seen.append(hit.source)) as found:
            seen: list[str | None] = []
            model(WAVE)
        with edgeloop_task.trace():
            model(WAVE)

    assert [(hit.operator, hit.source) for hit in found.hits] == [("root", "/head/Sqrt_1 (Sqrt)")]
    assert seen == ["/head/Sqrt_1 (Sqrt)"]
    assert "root (UnaryOp #1, node /head/Sqrt_1 (Sqrt)), run 0" in hit_lines(found.hits[0])[0]
    assert [operator.source for operator in reported.tables[0].operators] == [None, "/head/Sqrt_1 (Sqrt)", None, None]


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
