"""Models: numpy arrays in and out, checked against what the operators mean."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from companion_app.task_models import KERNEL, TABLE, random
from numpy.typing import ArrayLike, NDArray

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError, ModelError

GRID = np.arange(6, dtype=np.float32).reshape(2, 3)


def pooled(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the convolutional network computes."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    convolved = np.einsum("nchwij,ocij->nohw", windows, KERNEL)
    mean: NDArray[np.float32] = np.maximum(convolved, 0).mean(axis=(2, 3), keepdims=True)
    return mean


def test_a_network_computes_what_its_operators_mean(models: Path) -> None:
    model = edgeloop_task.load_model(models / "network.mnn")
    image = random(1, 3, 8, 8)

    np.testing.assert_allclose(model(image), pooled(image), rtol=1e-4, atol=1e-5)
    assert model.inputs == (edgeloop_task.TensorInfo("image", (1, 3, 8, 8), "float32"),)
    assert model.outputs == (edgeloop_task.TensorInfo("pooled", (1, 6, 1, 1), "float32"),)
    assert model.flops >= 8 * 8 * 6 * 3 * 3 * 3  # MNN counts a multiplication and its addition as one
    assert model.session_memory_bytes > 0


def test_inputs_and_outputs_have_the_models_order_not_the_alphabets(models: Path) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")
    one = np.ones((2, 3), np.float32)

    by_order, by_name, mixed = model.run(GRID, one), model.run(a=one, z=GRID), model.run(GRID, a=one)

    assert [tensor.name for tensor in model.inputs] == ["z", "a"]
    assert [tensor.name for tensor in model.outputs] == ["minus", "added"] == list(by_order)
    for outputs in (by_order, by_name, mixed):
        np.testing.assert_array_equal(outputs["minus"], GRID - 1)
        np.testing.assert_array_equal(outputs["added"], GRID + 1)


def test_a_model_with_several_outputs_cannot_be_called_for_one(models: Path) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")

    with pytest.raises(InvalidInputError, match=r"has 2 outputs \(minus, added\).*model\.run"):
        model(GRID, GRID)


def test_results_stay_what_they_are_when_the_model_runs_again(models: Path) -> None:
    model = edgeloop_task.load_model(models / "packed.mnn")
    first = model(np.full((1, 5, 2, 2), 1, np.float32))
    results = [model(np.full((1, 5, 2, 2), number, np.float32)) for number in range(50)]
    model.close()

    np.testing.assert_array_equal(first, np.full((1, 5, 2, 2), -1))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result, np.full((1, 5, 2, 2), -number))


def test_channels_may_come_last(models: Path) -> None:
    model = edgeloop_task.load_model(models / "channels-last.mnn")
    image = random(1, 4, 5, 3)

    np.testing.assert_allclose(model(image), image * np.array([1, 10, 100], np.float32), rtol=1e-6)


def test_mnns_packed_layout_does_not_show(models: Path) -> None:
    image = random(1, 5, 2, 2)
    np.testing.assert_array_equal(edgeloop_task.load_model(models / "packed.mnn")(image), -image)


def test_open_sizes_take_any_size_one_after_the_other(models: Path) -> None:
    model = edgeloop_task.load_model(models / "open.mnn")
    assert model.inputs[0].shape == (1, 3, -1, -1)
    assert [output.shape for output in model.outputs] == [(-1,)]

    for shape in ((1, 3, 8, 8), (2, 3, 5, 9), (1, 3, 8, 8)):
        image = random(*shape)
        np.testing.assert_allclose(model(image), pooled(image), rtol=1e-4, atol=1e-5)
        assert model.outputs[0].shape == (shape[0], 6, 1, 1)


def test_a_batch_may_have_any_size(models: Path) -> None:
    batch = random(5, 3, 8, 8)
    model = edgeloop_task.load_model(models / "network.mnn")
    np.testing.assert_allclose(model(batch), pooled(batch), rtol=1e-4, atol=1e-5)


def test_numbers_choose_rows(models: Path) -> None:
    model = edgeloop_task.load_model(models / "words.mnn")
    assert model.inputs[0].dtype == "int32"  # MNN has no other integers
    np.testing.assert_array_equal(model(np.array([3, 0, 6, 3])), TABLE[[3, 0, 6, 3]])


def test_bytes_go_in_as_bytes(models: Path) -> None:
    pixels = np.array([[0, 1, 127], [128, 200, 255]], np.uint8)
    np.testing.assert_array_equal(edgeloop_task.load_model(models / "bytes.mnn")(pixels), pixels * np.float32(2))


def test_a_single_number_comes_out_as_one(models: Path) -> None:
    total = edgeloop_task.load_model(models / "total.mnn")(GRID)
    assert total.shape == ()
    assert total == 15


@pytest.mark.parametrize(("sign", "expected"), [(1, 2 * GRID), (-1, GRID)], ids=["then", "else"])
def test_branches_are_run_though_not_by_mnns_interpreter(
    models: Path, sign: int, expected: NDArray[np.float32]
) -> None:
    model = edgeloop_task.load_model(models / "branch.mnn")

    np.testing.assert_array_equal(model(sign * GRID), expected)
    assert model.outputs == (edgeloop_task.TensorInfo("y", (2, 3), "float32"),)
    assert model.time(GRID, repeats=3, warmup=0).min_ms > 0


def test_shapes_may_depend_on_numbers_and_be_empty(models: Path) -> None:
    model = edgeloop_task.load_model(models / "nonzero.mnn")

    np.testing.assert_array_equal(model(GRID), np.argwhere(GRID).T)
    assert model(np.zeros((2, 3), np.float32)).shape == (2, 0)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.zeros((3, 2), np.float32), r"'a' has the shape \[3, 2\], but the model takes \[2, 3\].*transpose"),
        (np.zeros((2, 4), np.float32), r"'a' has the shape \[2, 4\]"),
        (np.zeros(3, np.float32), r"'a' has the shape \[3\].*array\[None\]"),
        (np.zeros((0, 3), np.float32), r"'a' has the shape \[0, 3\]"),
        ([[1.0], [1.0, 2.0]], "'a' is no array"),
        ([["a", "b", "c"]] * 2, r"'a' is <U1, but the model takes float32.*astype\('float32'\)"),
        (GRID.astype(np.complex64), "'a' is complex64"),
        (np.full((2, 3), 1e300), "'a' is float64.*would change"),
        (np.full((2, 3), 2**24 + 1), "'a' is int64.*would change"),
        (None, "'a' has the shape"),
    ],
)
def test_an_array_that_does_not_fit_is_named_with_what_would(models: Path, value: ArrayLike, complaint: str) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")

    with pytest.raises(InvalidInputError, match=complaint):
        model.run(GRID, value)
    np.testing.assert_array_equal(model.run(GRID, GRID)["minus"], 0 * GRID)  # and the model still runs


@pytest.mark.parametrize("value", [[0.0, 1.0, 2.0, 3.0], [2**31, 0, 0, 0], [-(2**31) - 1, 0, 0, 0]])
def test_integers_are_never_cut_off(models: Path, value: list[float]) -> None:
    model = edgeloop_task.load_model(models / "words.mnn")
    with pytest.raises(InvalidInputError, match="but the model takes int32, and its numbers would change"):
        model(np.array(value))


@pytest.mark.parametrize("value", [-1, 256])
def test_numbers_that_are_no_bytes_are_refused(models: Path, value: int) -> None:
    with pytest.raises(InvalidInputError, match="takes uint8"):
        edgeloop_task.load_model(models / "bytes.mnn")(np.full((2, 3), value))


@pytest.mark.parametrize(
    "value", [GRID.astype(np.float64), GRID.astype(np.int64), GRID.tolist(), GRID > 2, GRID.T.copy().T]
)
def test_arrays_are_converted_where_no_number_changes(models: Path, value: ArrayLike) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")
    np.testing.assert_array_equal(
        model.run(value, np.zeros((2, 3), np.float32))["minus"], np.asarray(value, np.float32)
    )


def test_missing_unknown_and_double_inputs_are_named(models: Path) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")

    with pytest.raises(InvalidInputError, match=r"lacks the input 'a'.*z float32 \[2, 3\], a float32 \[2, 3\]"):
        model.run(GRID)
    with pytest.raises(InvalidInputError, match="no input 'b'"):
        model.run(GRID, GRID, b=GRID)
    with pytest.raises(InvalidInputError, match="'z' twice"):
        model.run(GRID, z=GRID, a=GRID)
    with pytest.raises(InvalidInputError, match="2 inputs, but 3 arrays"):
        model.run(GRID, GRID, GRID)


def test_a_model_shows_what_goes_in_and_comes_out(models: Path) -> None:
    with edgeloop_task.load_model(models / "network.mnn", precision="low") as model:
        inner = "image float32 [1, 3, 8, 8] -> pooled float32 [1, 6, 1, 1]; cpu low x1"
        assert repr(model) == f"<Model network.mnn: {inner}>"
    assert "-> closed" in repr(model)


def test_a_closed_model_says_so(models: Path) -> None:
    with edgeloop_task.load_model(models / "pair.mnn") as model:
        model.run(GRID, GRID)

    for use in (lambda: model.run(GRID, GRID), lambda: model.time(GRID, GRID), lambda: model.flops):
        with pytest.raises(ModelError, match="has been closed"):
            use()
    model.close()


def test_threads_may_share_a_model(models: Path) -> None:
    model = edgeloop_task.load_model(models / "pair.mnn")
    wrong: list[int] = []

    def use(number: int) -> None:
        mine = np.full((2 + number, 3), number, np.float32)
        wrong.extend(number for _ in range(100) if (model.run(mine, mine)["added"] != 2 * mine).any())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_timing_has_one_sample_per_repeat(models: Path) -> None:
    timing = edgeloop_task.load_model(models / "network.mnn").time(random(1, 3, 8, 8), repeats=7, warmup=0)

    assert len(timing.samples_ns) == 7
    assert 0 < timing.min_ms <= timing.p50_ms <= timing.p90_ms <= max(timing.samples_ns) / 1e6


@pytest.mark.parametrize(("repeats", "warmup"), [(0, 1), (-1, 0), (1, -1)])
def test_a_timing_of_nothing_is_refused(models: Path, repeats: int, warmup: int) -> None:
    with pytest.raises(InvalidInputError, match="at least one repeat"):
        edgeloop_task.load_model(models / "pair.mnn").time(GRID, GRID, repeats=repeats, warmup=warmup)


def test_percentiles_lie_between_the_two_nearest_samples() -> None:
    timing = edgeloop_task.Timing((4_000_000, 1_000_000, 2_000_000, 3_000_000))

    assert timing.p50_ms == 2.5
    assert timing.p90_ms == pytest.approx(3.7)
    assert timing.mean_ms == 2.5
    assert timing.min_ms == 1
