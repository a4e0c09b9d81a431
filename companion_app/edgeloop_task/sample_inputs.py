"""The inputs that models are compared on: a user's arrays, cut into one run each, or seeded random numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgeloop_shared.errors import InvalidInputError, NotFoundError, TooLargeError
from edgeloop_task.model import Model
from edgeloop_task.tensors import TensorInfo

MAX_BYTES = 4 * 1024**3
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Sample: TypeAlias = dict[str, Array]


def stored_samples(path: Path, inputs: Sequence[TensorInfo], limit: int) -> list[Sample]:
    """Return up to `limit` runs' worth of inputs from an `.npz` (an array per input name) or an `.npy` (a single input).

    The first axis counts samples; the rest must have the input's shape, with or without its batch axis. Raises
    `NotFoundError`, `InvalidInputError` or `TooLargeError`.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no data file at {path}.", hint="Name an .npz or .npy file.")
    arrays = _arrays(path, inputs)
    missing = [tensor.name for tensor in inputs if tensor.name not in arrays]
    if missing:
        raise InvalidInputError(
            f"{path} has no array for the input {missing[0]!r}; it holds {', '.join(sorted(arrays)) or 'none'}.",
            hint="Save it with numpy.savez and the inputs' names as keywords.",
        )
    columns = {tensor.name: _runs(arrays[tensor.name], tensor, path, limit) for tensor in inputs}
    count = min(len(column) for column in columns.values())
    if not count:
        raise InvalidInputError(f"{path} holds no complete sample.", hint="The first axis counts samples.")
    return [{name: column[index] for name, column in columns.items()} for index in range(count)]


def random_samples(inputs: Sequence[TensorInfo], count: int, seed: int) -> list[Sample]:
    """Return `count` runs' worth of inputs: normal numbers for floats, 0 to 255 for bytes, 0 and 1 for other integers."""
    open_input = next((tensor for tensor in inputs if any(size < 1 for size in tensor.shape[1:])), None)
    if open_input is not None:
        raise InvalidInputError(
            f"The input {open_input.name!r} has the open shape {tuple(open_input.shape)}.",
            hint="Give inputs of the size that you mean with --inputs.",
        )
    generator = np.random.default_rng(seed)
    return [{tensor.name: _random(tensor, generator) for tensor in inputs} for _ in range(count)]


def first_sample(path: Path | None, inputs: Sequence[TensorInfo]) -> tuple[Sample, str]:
    """Return the first sample of a file, or of random ones without it, and words that say which. Raises as both others do."""
    if path is None:
        return random_samples(inputs, 1, 0)[0], "random numbers, seed 0"
    return stored_samples(path, inputs, 1)[0], f"the first sample of {path}"


def in_order(sample: Mapping[str, Array], model: Model) -> list[Array]:
    """Return the sample's arrays in the order of the model's inputs."""
    return [sample[tensor.name] for tensor in model.inputs]


def _random(tensor: TensorInfo, generator: np.random.Generator) -> Array:
    dtype, shape = np.dtype(tensor.dtype), tuple(max(size, 1) for size in tensor.shape)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    high = 256 if dtype == np.uint8 else 2
    return generator.integers(0, high, shape).astype(dtype)


def _arrays(path: Path, inputs: Sequence[TensorInfo]) -> Mapping[str, Array]:
    is_single = path.suffix.lower() == ".npy"
    if is_single and len(inputs) != 1:
        listed = ", ".join(tensor.name for tensor in inputs)
        raise InvalidInputError(
            f"The model has the inputs {listed}, but {path} is an .npy file, which holds a single array.",
            hint="Save an .npz with an array per input.",
        )
    wanted = {tensor.name for tensor in inputs}
    try:
        if is_single:
            return {inputs[0].name: np.load(path, mmap_mode="r", allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist() if entry.filename.removesuffix(".npy") in wanted)
        if size <= MAX_BYTES:
            with np.load(path, allow_pickle=False) as archive:
                return {name: _array(archive[name]) if name in wanted else np.empty(0) for name in archive.files}
    except Exception as error:  # of a damaged file: zlib, tokenize, struct and many more speak up through numpy
        raise InvalidInputError(
            f"{path} cannot be read as arrays: {error}.",
            hint="Save it with numpy.savez or numpy.save, without objects.",
        ) from error
    raise TooLargeError(
        f"The inputs in {path} take {size} bytes.",
        hint="Save fewer samples.",
        details={"limit": MAX_BYTES, "size": size},
    )


def _array(value: object) -> Array:
    if not isinstance(value, np.ndarray):  # numpy hands over the bytes of an entry that is no array
        raise ValueError("an entry is no array")  # noqa: TRY004
    return value


def _runs(array: Array, tensor: TensorInfo, path: Path, limit: int) -> list[Array]:
    shape, dtype = tuple(tensor.shape), np.dtype(tensor.dtype)
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise InvalidInputError(
            f"The array for {tensor.name!r} in {path} holds {array.dtype}, but the model wants {dtype}.",
            hint=f"Convert it with .astype({dtype.name!r}).",
        )
    if _fits(array.shape[1:], shape):
        return [np.ascontiguousarray(row, dtype=dtype) for row in array[:limit]]
    if array.ndim == len(shape) and _fits(array.shape[1:], shape[1:]):
        batch = max(shape[0], 1)
        starts = range(0, min(len(array) // batch, limit) * batch, batch)
        return [np.ascontiguousarray(array[start : start + batch], dtype=dtype) for start in starts]
    raise InvalidInputError(
        f"The array for {tensor.name!r} in {path} has the shape {array.shape}, but the model's input is {shape}.",
        hint="The first axis counts samples, the others must have the input's shape.",
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(size == want or want < 1 for size, want in zip(shape, wanted, strict=True))
