"""What turns one stage of a preprocessing into another: the usual mistakes are tried out, and the one that fits is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
FITS = 1e-2  # relative error of what explains a difference; rounding to 8 bits on the way must not hide it
_BETTER = 10.0  # times smaller than the difference that it explains
_COLOURS = (3, 4)
MEAN, STD = (
    np.array([0.485, 0.456, 0.406]),
    np.array([0.229, 0.224, 0.225]),
)  # of ImageNet, what most models are trained with


def explanations(found: Array, expected: Array, before: Array | None) -> list[str]:
    """Return what explains that a stage is `found` where it is `expected`, the best first; nothing where nothing tried fits.

    `before` is the stage before it, where both sides still agree: what is known to come in.
    """
    with np.errstate(all="ignore"):
        candidates = [*_moved(expected), *_scaled(expected)]
        if before is not None:
            candidates += _resized(before, expected, found)
        tried = []
        own = _error(found, expected)
        for words, array in candidates:
            error = _error(found, array)
            if error is not None and error <= FITS and (own is None or own > _BETTER * max(error, 1e-9)):
                tried.append((error, words))
        if tried:
            tried.sort(key=lambda one: one[0])
            return [tried[0][1]]
        if (fit := _affine(found, expected)) is not None:
            return [fit]
        combined = [
            (error, f"{first}; then {second}")
            for ((first, moved),) in zip(_moved(expected), strict=False)
            for second, array in _scaled(moved)
            if (error := _error(found, array)) is not None and error <= FITS
        ]
        return [min(combined)[1]] if combined else []


def _moved(array: Array) -> Iterator[tuple[str, Array]]:
    """Yield the same numbers in other places."""
    for axis in _colour_axes(array):
        order = [2, 1, 0, 3][: array.shape[axis]]
        yield "its colours stand in the other order (RGB and BGR swapped)", np.take(array, order, axis=axis)
    if array.ndim in (3, 4):
        first = array.ndim - 3
        for source, target, words in (
            (first + 2, first, "its axes are channels first (CHW) where channels last (HWC) are expected"),
            (first, first + 2, "its axes are channels last (HWC) where channels first (CHW) are expected"),
        ):
            yield words, np.moveaxis(array, source, target)
    for axes in itertools.pairwise(range(array.ndim)):
        yield f"its axes {axes[0]} and {axes[1]} are exchanged", np.swapaxes(array, *axes)
    for axis in range(array.ndim):
        if array.shape[axis] > max(_COLOURS):
            yield f"it is mirrored along axis {axis}", np.flip(array, axis)
    if array.ndim and array.shape[0] == 1:
        yield "it lacks the batch axis", array[0]
    yield "it has a batch axis more", array[None]
    if array.size and array.ndim == 3:
        for axes_order in itertools.permutations(range(3)):
            words = "its numbers are laid out in another order of axes, but called the same shape"
            yield words, array.transpose(axes_order).reshape(array.shape)


def _scaled(array: Array) -> Iterator[tuple[str, Array]]:
    """Yield the numbers on other scales."""
    values = array.astype(np.float64)
    yield "it is 255 times larger: the scaling from 0..255 to 0..1 is missing", values * 255
    yield "it is 255 times smaller: it was scaled from 0..255 to 0..1 once too often", values / 255
    yield "it is in 0..1 where -1..1 is expected: `x * 2 - 1` is missing", (values + 1) / 2
    yield "it is in -1..1 where 0..1 is expected", values * 2 - 1
    yield "it is in 0..255 where -1..1 is expected: `x / 127.5 - 1` is missing", (values + 1) * 127.5
    for axis in _colour_axes(array, exact=True):
        shape = [3 if at == axis else 1 for at in range(array.ndim)]
        mean, std = MEAN.reshape(shape), STD.reshape(shape)
        yield "mean and standard deviation of ImageNet are not applied", values * std + mean
        yield "mean and standard deviation of ImageNet are applied once too often", (values - mean) / std
        yield "the mean of ImageNet is not subtracted", values + mean / std
        yield "it is not divided by the standard deviation of ImageNet", values * std
        yield (
            "the scaling from 0..255 to 0..1 is missing before mean and standard deviation",
            values * 255 + 254 * mean / std,
        )
        yield "it is in 0..255 and mean and standard deviation of ImageNet are not applied", (values * std + mean) * 255
    if array.dtype.kind == "f":
        yield "it was rounded to whole numbers", np.rint(values)
        yield "its fractions were cut off (an integer dtype on the way)", np.trunc(values)
        yield "it was cut to 0..255 (uint8 on the way)", np.clip(np.rint(values), 0, 255)
        yield "it was cut to 0..1", np.clip(values, 0, 1)
        yield "it went through float16", array.astype(np.float16)
        yield "it went through 8 bits (rounded to 1/255)", np.rint(values * 255) / 255


def _affine(found: Array, expected: Array) -> str | None:
    """Return the factor and the offset that turn what is expected into what was found, where two numbers (per colour) do it."""
    if found.shape != expected.shape or found.size < 4:
        return None
    a, b = found.astype(np.float64), expected.astype(np.float64)
    for axis in (None, *_colour_axes(expected)):
        parts = (
            [(a, b)] if axis is None else [(np.take(a, at, axis), np.take(b, at, axis)) for at in range(a.shape[axis])]
        )
        fitted, factors = [], []
        for one, other in parts:
            variance = float(other.var())
            if not variance:
                break
            factor = float(((one - one.mean()) * (other - other.mean())).mean() / variance)
            offset = float(one.mean() - factor * other.mean())
            factors.append((factor, offset))
            fitted.append((one, factor * other + offset))
        if len(fitted) != len(parts) or any(not _fits(one, fit) for one, fit in fitted):
            continue
        if all(abs(factor - 1) < FITS and abs(offset) < FITS for factor, offset in factors):
            continue
        listed = ", ".join(
            f"{factor:.4g} * expected {'+' if offset >= 0 else '-'} {abs(offset):.4g}" for factor, offset in factors
        )
        where = "" if axis is None else " per colour"
        return f"it is a multiple of what is expected{where}: {listed}; a scale, a mean or a standard deviation differs"
    return None


def _resized(before: Array, expected: Array, found: Array) -> Iterator[tuple[str, Array]]:
    """Yield ways to resize the stage before to this one, named by what was found and what is expected."""
    ways = list(_resizes(before, expected.shape))
    fitting = [words for words, array in ways if (error := _error(expected, array)) is not None and error <= FITS]
    for words, array in ways:
        if words not in fitting[:1]:
            wanted = f" where {fitting[0]} is expected" if fitting else ""
            yield f"it was resized with {words}{wanted}", array
    if len(before.shape) >= 2 and found.shape == expected.shape:
        yield "it was not changed by this step", before


def _resizes(before: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield `before`, `[..., height, width]` or `[..., height, width, channels]`, resized to `shape` in the usual ways."""
    if len(before.shape) != len(shape):
        return
    axes = [axis for axis, (old, new) in enumerate(zip(before.shape, shape, strict=True)) if old != new]
    if not axes or len(axes) > 2:
        return
    kernels: tuple[tuple[str, Callable[[int, int], Floats]], ...] = (
        ("nearest neighbour (floor)", lambda old, new: _nearest(old, np.floor(np.arange(new) * old / new))),
        (
            "nearest neighbour (pixel centres)",
            lambda old, new: _nearest(old, np.floor((np.arange(new) + 0.5) * old / new)),
        ),
        (
            "bilinear, pixel centres aligned (half-pixel)",
            lambda old, new: _linear(old, (np.arange(new) + 0.5) * old / new - 0.5),
        ),
        ("bilinear, corners aligned", lambda old, new: _linear(old, np.arange(new) * (old - 1) / max(new - 1, 1))),
        ("bilinear, top left corners aligned (asymmetric)", lambda old, new: _linear(old, np.arange(new) * old / new)),
        ("bilinear with antialiasing (as Pillow does)", _antialiased),
        ("the average of areas", _area),
        ("cubic, pixel centres aligned", lambda old, new: _cubic(old, (np.arange(new) + 0.5) * old / new - 0.5, -0.75)),
    )
    for words, kernel in kernels:
        array = before.astype(np.float64)
        for axis in axes:
            array = np.moveaxis(np.tensordot(kernel(before.shape[axis], shape[axis]), array, (1, axis)), 0, axis)
        yield words, array


def _nearest(old: int, places: Floats) -> Floats:
    weights = np.zeros((len(places), old))
    weights[np.arange(len(places)), places.astype(int).clip(0, old - 1)] = 1
    return weights


def _linear(old: int, places: Floats) -> Floats:
    places = places.clip(0, old - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)[None])))


def _cubic(old: int, places: Floats, a: float) -> Floats:
    weights = np.zeros((len(places), old))
    base = np.floor(places).astype(int)
    for step in range(-1, 3):
        x = np.abs(places - (base + step))
        value = np.where(x <= 1, (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a)
        np.add.at(weights, (np.arange(len(places)), (base + step).clip(0, old - 1)), value)
    return weights


def _antialiased(old: int, new: int) -> Floats:
    scale = max(old / new, 1.0)
    centres = (np.arange(new) + 0.5) * old / new
    weights = np.maximum(0, 1 - np.abs((np.arange(old)[None] + 0.5 - centres[:, None]) / scale))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _area(old: int, new: int) -> Floats:
    edges = np.arange(new + 1) * old / new
    low = np.maximum(edges[:-1, None], np.arange(old)[None])
    high = np.minimum(edges[1:, None], np.arange(old)[None] + 1)
    weights = np.maximum(0, high - low)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _colour_axes(array: Array, *, exact: bool = False) -> list[int]:
    sizes = (3,) if exact else _COLOURS
    return [axis for axis in range(array.ndim) if array.shape[axis] in sizes] if array.ndim > 1 else []


def _fits(one: Array, other: Array) -> bool:
    error = _error(one, other)
    return error is not None and error <= FITS


def _error(one: Array, other: Array) -> float | None:
    """Return |one - other| / |other|; None for other shapes or where it is not finite."""
    if one.shape != other.shape or not one.size:
        return None
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    scale = float(np.linalg.norm(b))
    error = float(np.linalg.norm(a - b)) / scale if scale else float(np.linalg.norm(a - b))
    return error if np.isfinite(error) else None
