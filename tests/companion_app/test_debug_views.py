"""Arrays and tensors, as a debugger shows them."""

from __future__ import annotations

from typing import Any

import MNN
import MNN.expr
import numpy as np
import pytest

import edgeloop_task
from edgeloop_companion.runtime.debug_views import PAGE, Views

VIEWS = Views()


def children(value: Any) -> dict[str, Any]:
    return {name: item for name, item, _ in VIEWS.get_contents_debug_adapter_protocol(value)}


def test_an_array_shows_what_it_is_and_its_statistics() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    array[1, 1] = np.nan

    assert VIEWS.get_str(array) == "float32 [3, 4], 1 NaN, min 0, max 11, mean 5.545, std 3.602"
    found = children(array)
    assert list(found) == ["statistics", "shape", "dtype", "[0]", "[1]", "[2]"]
    assert children(found["statistics"])["nan_count"] == 1
    assert np.shares_memory(found["[2]"], array)
    assert children(found["[2]"])["[3]"] == 11.0


def test_a_large_array_is_neither_copied_nor_sent_but_opened_page_by_page() -> None:
    array = np.zeros(25_000_000, np.float32)

    assert VIEWS.get_str(array) == "float32 [25000000], 100 MB"
    found = children(array)
    assert VIEWS.get_str(found["statistics"]) == "open to compute"
    pages = {name: item for name, item in found.items() if name.startswith("[")}
    assert len(pages) <= PAGE
    names = ["[24000000:25000000]", "[24990000:25000000]", "[24999900:25000000]", "[24999999]"]
    array[-1] = 7
    value: Any = array
    for name in names:
        value = children(value)[name]
    assert value == 7


def test_what_is_opened_can_be_named_by_an_expression() -> None:
    array = np.arange(300)
    (page,) = [one for one in VIEWS.get_contents_debug_adapter_protocol(array) if one[0] == "[100:200]"]
    (item,) = [one for one in VIEWS.get_contents_debug_adapter_protocol(page[1]) if one[0] == "[157]"]

    assert (page[2], item[2]) == ("[100:200]", "[57]")
    assert array[100:200][57] == item[1] == 157


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([]), "float64 [0]"),
        (np.array(["a"]), "str32 [1]"),
        (np.array([True, False]), "bool [2], min 0, max 1, mean 0.5, std 0.5"),
        (np.array([np.nan, np.inf]), "float64 [2], 1 NaN, 1 inf"),
        (np.array(3), "int64 [], min 3, max 3, mean 3, std 0"),
        (np.array([None]), "object [1]"),
    ],
)
def test_odd_arrays_are_shown_as_well(array: Any, text: str) -> None:
    assert VIEWS.get_str(array) == text
    assert "error" not in children(array)


def test_tensors_of_mnn_are_shown_without_computing_them_and_opened_as_arrays() -> None:
    variable = MNN.expr.const([1.0, 2.0], [2])
    memory = np.ones((1, 2), np.float32)
    tensor = MNN.Tensor((1, 2), MNN.Halide_Type_Float, memory, MNN.Tensor_DimensionType_Caffe)

    assert VIEWS.get_str(variable) == "MNN float [2]"
    assert children(variable)["array"].tolist() == [1.0, 2.0]
    assert VIEWS.get_str(tensor) == "MNN tensor float32 [1, 2]"
    assert children(tensor)["array"].tolist() == [[1.0, 1.0]]


def test_what_is_no_array_is_left_to_others() -> None:
    assert not VIEWS.can_provide(list, "list")
    assert not VIEWS.can_provide(edgeloop_task.Model, "Model")
