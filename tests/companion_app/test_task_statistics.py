"""Statistics of tensors and their differences, checked against numpy's own words for the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_hits import TensorSummary
from edgeloop_task import TensorComparison, TensorStatistics

NUMBERS = st.lists(st.floats(width=32), max_size=30).map(lambda values: np.array(values, np.float32))


@given(NUMBERS)
def test_statistics_are_over_the_finite_numbers(array: NDArray[np.float32]) -> None:
    found = TensorStatistics(array)
    finite = array[np.isfinite(array)].astype(np.float64)

    assert found.count == array.size
    assert found.nan_count == np.isnan(array).sum()
    assert found.inf_count == np.isinf(array).sum()
    if not finite.size:
        assert all(math.isnan(getattr(found, name)) for name in ("min", "max", "mean", "std", "abs_max", "p99_abs"))
        return
    scale = np.abs(finite).max()
    assert (found.min, found.max, found.abs_max) == (finite.min(), finite.max(), scale)
    assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9 * scale)
    assert found.std == pytest.approx(finite.std(), rel=1e-6, abs=1e-6 * scale)
    assert found.p99_abs == pytest.approx(np.percentile(np.abs(finite), 99), rel=1e-6)


@given(NUMBERS)
def test_a_summary_survives_its_travel(array: NDArray[np.float32]) -> None:
    summary = TensorStatistics(array).summary()
    assert decode_json(TensorSummary, encode_json(summary), max_bytes=10_000) == summary


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.full((2, 2), np.nan, np.float32),
        np.array([-128, 127], np.int8),
        np.array([True, False]),
        np.array(5, np.int64),
        np.array([65504, 65504], np.float16),
        np.array([1e308, -1e308, 1e308]),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    ],
    ids=["empty", "NaN", "int8", "bool", "scalar", "half", "huge", "transposed"],
)
def test_arrays_of_every_kind_have_statistics(array: NDArray[Any]) -> None:
    summary = TensorStatistics(array).summary()
    values = array.astype(np.float64).ravel()

    assert (summary.shape, summary.dtype, summary.count) == (array.shape, array.dtype.name, array.size)
    if not np.isfinite(values).any():
        assert summary.min is summary.max is summary.mean is summary.std is summary.abs_max is summary.p99_abs is None
        return
    largest = np.abs(values).max()
    assert summary.abs_max == largest
    assert summary.mean == pytest.approx((values / largest).mean() * largest)
    assert summary.std == pytest.approx((values / largest).std() * largest)
    assert summary.first == tuple(values[:8])


def test_a_large_tensor_is_taken_in_pieces() -> None:
    array = np.random.default_rng(1).normal(1000, 1, 3_000_000).astype(np.float32)
    assert TensorStatistics(array).std == pytest.approx(array.astype(np.float64).std(), rel=1e-9)


@given(NUMBERS)
def test_a_tensor_is_like_itself(array: NDArray[np.float32]) -> None:
    found = TensorComparison(array, array.copy())

    assert found.mismatches == 0
    assert found.cosine == pytest.approx(1, abs=1e-9)
    assert found.snr_db == math.inf
    assert (found.max_abs_difference, found.max_relative_error, found.rmse) == (0, 0, 0)


@given(NUMBERS.filter(lambda array: bool(array.any()) and bool(np.isfinite(array).all())), st.floats(1.01, 100))
def test_figures_are_what_they_are_called(array: NDArray[np.float32], factor: float) -> None:
    reference = array.astype(np.float64)
    found = TensorComparison(reference * factor, reference)

    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert found.snr_db == pytest.approx(-20 * math.log10(factor - 1), abs=1e-6)
    assert found.max_relative_error == pytest.approx(factor - 1, rel=1e-6)
    assert TensorComparison(-reference, reference).cosine == pytest.approx(-1, abs=1e-6)


def test_the_difference_of_small_vectors() -> None:
    found = TensorComparison(np.array([1.0, 2.0, 2.0]), np.array([1.0, 0.0, 2.0]))

    assert found.cosine == pytest.approx(5 / (3 * math.sqrt(5)))
    assert found.snr_db == pytest.approx(10 * math.log10(5 / 4))
    assert (found.max_abs_difference, found.max_relative_error) == (2, 1)
    assert found.rmse == pytest.approx(math.sqrt(4 / 3))


@pytest.mark.parametrize(
    ("array", "reference", "cosine", "snr_db", "relative"),
    [
        ([0.0], [0.0], 1, math.inf, 0),
        ([1.0], [0.0], 0, -math.inf, math.inf),
        ([0.0], [1.0], 0, 0, 1),
        ([math.nan, 1], [math.nan, 1], 1, math.inf, 0),
        ([math.inf, 1], [math.inf, 1], 1, math.inf, 0),
        ([math.nan, 1], [1, 1], 0, -math.inf, math.inf),
        ([math.inf, 1], [-math.inf, 1], 0, -math.inf, math.inf),
        ([], [], 1, math.inf, 0),
    ],
)
def test_zeros_nan_and_infinities_have_rules(
    array: list[float], reference: list[float], cosine: float, snr_db: float, relative: float
) -> None:
    found = TensorComparison(np.array(array), np.array(reference))
    assert (found.cosine, found.snr_db, found.max_relative_error) == (cosine, snr_db, relative)


def test_other_shapes_are_not_compared() -> None:
    with pytest.raises(InvalidInputError, match=r"\[2\] and \[1, 2\]"):
        TensorComparison(np.zeros(2), np.zeros((1, 2)))
