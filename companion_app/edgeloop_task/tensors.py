"""Tensors: what a model says of its inputs and outputs, and arrays that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeloop_shared.errors import InvalidInputError


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its shape in the model's own order of axes, and numpy's name of its dtype.

    A size that the model leaves open is -1, but an open batch (the first axis) is 1: MNN's converter makes it so.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {list(self.shape)}"


def fitting_arrays(
    model: str, inputs: Sequence[TensorInfo], arrays: Sequence[ArrayLike], named: Mapping[str, ArrayLike]
) -> dict[str, NDArray[Any]]:
    """Return one contiguous array for each of the `inputs`, from those given in order and by name.

    Raises `InvalidInputError` that names the input for one that is missing, unknown, given twice or does not fit.
    """
    names = [tensor.name for tensor in inputs]
    given = dict(zip(names, arrays, strict=False))
    problem = ""
    if len(arrays) > len(names):
        problem = f"takes {len(names)} inputs, but {len(arrays)} arrays were given"
    elif unknown := sorted(named.keys() - set(names)):
        problem = f"has no input {unknown[0]!r}"
    elif twice := sorted(named.keys() & given.keys()):
        problem = f"got the input {twice[0]!r} twice"
    elif missing := [name for name in names if name not in given and name not in named]:
        problem = f"lacks the input {missing[0]!r}"
    if problem:
        listed = ", ".join(map(str, inputs)) or "none"
        raise InvalidInputError(f"{model} {problem}.", hint=f"Its inputs, in order, are: {listed}.")
    given |= named
    return {tensor.name: fitting_array(tensor, given[tensor.name]) for tensor in inputs}


def fitting_array(tensor: TensorInfo, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a contiguous array of the input's dtype.

    It is converted where no number changes (float64 to float32 may round). The first axis may have any size, and so may
    those that the model leaves open. Raises `InvalidInputError` for everything else.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of unequal length
        raise InvalidInputError(f"The input {tensor.name!r} is no array: {error}.") from None
    fits = array.ndim == len(tensor.shape) and all(
        wanted == size or wanted < 1 or axis == 0
        for axis, (wanted, size) in enumerate(zip(tensor.shape, array.shape, strict=True))
    )
    if not fits or array.size == 0:
        raise InvalidInputError(
            f"The input {tensor.name!r} has the shape {list(array.shape)}, but the model takes {list(tensor.shape)}.",
            hint=_shape_hint(tensor, array),
        )
    if array.dtype == tensor.dtype:
        return np.ascontiguousarray(array).reshape(array.shape)  # which makes a single number an axis
    what = f"The input {tensor.name!r}"
    return np.ascontiguousarray(converted(array, tensor.dtype, what)).reshape(array.shape)


def _shape_hint(tensor: TensorInfo, array: NDArray[Any]) -> str:
    if array.shape == tensor.shape[1:]:
        return "Its first axis counts samples: add it with array[None]."
    if sorted(array.shape) == sorted(tensor.shape):
        return "The axes stand in another order: see numpy.transpose."
    return "-1 stands for any size, and the first axis may have another one."


def converted(array: NDArray[Any], dtype: str, what: str) -> NDArray[Any]:
    """Return `array` in `dtype` if no number changes by it (float64 to float32 may round).

    Raises `InvalidInputError` that begins with `what`.
    """
    if array.dtype.kind not in "biuf" or dtype == "unknown":
        raise _wrong_dtype(array, dtype, what, "")
    with np.errstate(all="ignore"):
        result = array.astype(dtype)
        if array.dtype.kind == "f" and result.dtype.kind == "f":
            kept = bool((np.isfinite(result) == np.isfinite(array)).all())
        else:
            kept = array.dtype.kind != "f" and bool((result.astype(array.dtype) == array).all())
    # Back and forth hides a sign that was lost: -1 becomes 4294967295 becomes -1.
    if kept and array.size and array.dtype.kind != "b" and result.dtype.kind in "iu":
        limits = np.iinfo(result.dtype)
        kept = int(array.min()) >= limits.min and int(array.max()) <= limits.max
    if not kept:
        raise _wrong_dtype(array, dtype, what, ", and its numbers would change")
    return result


def _wrong_dtype(array: NDArray[Any], dtype: str, what: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"{what} is {array.dtype}, but the model takes {dtype}{why}.",
        hint=f"If that is meant, convert it: array.astype({dtype!r}).",
    )
