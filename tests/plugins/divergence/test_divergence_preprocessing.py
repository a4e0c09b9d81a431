"""The usual mistakes of a preprocessing: each is recognised from what comes out, and nothing is claimed where nothing fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeloop_plugins.divergence.preprocessing import MEAN, STD, explanations

Array = NDArray[Any]
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 14, 3)).astype(np.float32)
UNIT = (IMAGE / 255).astype(np.float32)
NORMALISED = ((UNIT - MEAN) / STD).astype(np.float32)


@pytest.mark.parametrize(
    ("expected", "mistake", "words"),
    [
        (UNIT, lambda x: x[..., ::-1], "RGB and BGR swapped"),
        (UNIT.transpose(2, 0, 1), lambda x: x[::-1], "RGB and BGR swapped"),
        (UNIT.transpose(2, 0, 1), lambda x: x.transpose(1, 2, 0), "channels last (HWC) where channels first (CHW)"),
        (UNIT, lambda x: x.transpose(2, 0, 1), "channels first (CHW) where channels last (HWC)"),
        (UNIT, lambda x: x.transpose(1, 0, 2), "axes 0 and 1 are exchanged"),
        (UNIT, lambda x: x.transpose(2, 0, 1).reshape(x.shape), "laid out in another order of axes"),
        (UNIT, lambda x: x[::-1], "mirrored along axis 0"),
        (UNIT, lambda x: x[None], "a batch axis more"),
        (UNIT[None], lambda x: x[0], "lacks the batch axis"),
        (UNIT, lambda x: x * 255, "scaling from 0..255 to 0..1 is missing"),
        (IMAGE, lambda x: x / 255, "scaled from 0..255 to 0..1 once too often"),
        (UNIT * 2 - 1, lambda x: (x + 1) / 2, "`x * 2 - 1` is missing"),
        (UNIT * 2 - 1, lambda x: (x + 1) * 127.5, "`x / 127.5 - 1` is missing"),
        (NORMALISED, lambda x: x * STD + MEAN, "mean and standard deviation of ImageNet are not applied"),
        (NORMALISED, lambda x: x + MEAN / STD, "the mean of ImageNet is not subtracted"),
        (NORMALISED, lambda x: (UNIT * 255 - MEAN) / STD, "missing before mean and standard deviation"),
        (UNIT, lambda x: x * 3 + 7, "3 * expected + 7"),
        (UNIT, lambda x: x * [1, 2, 3] - [0, 1, 2], "per colour"),
        (NORMALISED * 20, np.trunc, "fractions were cut off"),
        (NORMALISED * 200, lambda x: np.clip(np.rint(x), 0, 255), "cut to 0..255 (uint8 on the way)"),
        (UNIT, lambda x: x[..., ::-1] * 255, "RGB and BGR swapped); then it is 255 times larger"),
    ],
)
def test_a_mistake_is_recognised(expected: Array, mistake: Callable[[Array], Array], words: str) -> None:
    (found,) = explanations(mistake(expected), expected, None)

    assert words in found


@pytest.mark.parametrize(
    "found", [np.random.default_rng(1).random((20, 14, 3)), np.full((20, 14, 3), np.nan), np.zeros((3,))]
)
def test_nothing_is_claimed_where_nothing_fits(found: Array) -> None:
    assert explanations(found, UNIT, None) == []


def resized(array: Array, places: Callable[[int, int], Array]) -> Array:
    """Return the upper left `[height, width, colours]` of an image at half of its size, linear between pixels."""
    for axis in (0, 1):
        old = array.shape[axis]
        at = places(old, old // 2).clip(0, old - 1)
        weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(old)[None]))
        array = np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)
    return array


def test_two_ways_to_resize_are_told_apart_by_what_came_in() -> None:
    def centres(old: int, new: int) -> Array:
        return (np.arange(new) + 0.5) * old / new - 0.5

    def corners(old: int, new: int) -> Array:
        return np.arange(new) * (old - 1) / (new - 1)

    (found,) = explanations(resized(IMAGE, corners), resized(IMAGE, centres), IMAGE)

    assert found.startswith("it was resized with bilinear, corners aligned where ")


def test_a_step_that_did_nothing_is_recognised() -> None:
    (found,) = explanations(UNIT, NORMALISED * 3 - UNIT**2, UNIT)

    assert found == "it was not changed by this step"
