"""MNN's tensors as numpy arrays, and back. Their layout in MNN's memory (packed channels, 8-bit numbers) does not show."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import ModelError
from edgeloop_task.engine import mnn

_DTYPES = {"Float": "float32", "Int": "int32", "Uint8": "uint8", "Int64": "int64", "Double": "float64"}
_Key: TypeAlias = tuple[tuple[int, ...], str, Any]  # shape, dtype, layout
_KEPT_BYTES = 32 * 1024**2  # of memory for copies, between two operators


def dtype_of(tensor: Any) -> str:
    """Return numpy's name of the dtype. Raises `ModelError` for one that numpy has not."""
    engine, kind = mnn(), tensor.getDataType()
    for name, dtype in _DTYPES.items():
        if kind == getattr(engine, f"Halide_Type_{name}"):
            return dtype
    raise ModelError("A tensor of the model has a dtype that MNN cannot hand to Python.")


def copy_of(tensor: Any, what: str) -> NDArray[Any]:
    """Return a copy in the model's own order of axes. Raises `ModelError` that names `what` if MNN does not hand it out."""
    shape = tuple(tensor.getShape())
    array = np.zeros(shape, dtype_of(tensor))
    if array.size == 0:
        return array
    host = _host(tensor, array)
    if not tensor.copyToHostTensor(host):
        raise ModelError(f"MNN did not hand out {what}.")
    return np.array(host.getNumpyData(), copy=True).reshape(shape)


def write(tensor: Any, array: NDArray[Any], what: str) -> None:
    """Copy a contiguous array of the tensor's shape and dtype in. Raises `ModelError` that names `what` if MNN refuses."""
    if not tensor.copyFrom(_host(tensor, array)):
        raise ModelError(f"MNN did not take the array for {what}.")


class HostMemory:
    """Memory that tensors are copied to again and again: to allocate it anew would cost more than the copy."""

    def __init__(self) -> None:
        self._free: dict[_Key, list[Any]] = {}
        self._lent: list[tuple[_Key, Any]] = []

    def view_of(self, tensor: Any, what: str) -> NDArray[Any]:
        """Return the tensor's numbers as `copy_of` does, valid until `take_back`."""
        shape, dtype = tuple(tensor.getShape()), dtype_of(tensor)
        if 0 in shape:
            return np.zeros(shape, dtype)
        key = (shape, dtype, _layout(tensor))
        kept = self._free.get(key)
        host = kept.pop() if kept else _host(tensor, np.zeros(shape, dtype))
        self._lent.append((key, host))
        if not tensor.copyToHostTensor(host):
            raise ModelError(f"MNN did not hand out {what}.")
        view: NDArray[Any] = host.getNumpyData().reshape(shape)
        return view

    def take_back(self) -> None:
        """Take back all that was lent, and keep it unless that is much."""
        for key, host in self._lent:
            self._free.setdefault(key, []).append(host)
        if self._lent and sum(map(_bytes, self._free.items())) > _KEPT_BYTES:
            self._free.clear()
        self._lent.clear()


def _bytes(kept: tuple[_Key, list[Any]]) -> int:
    (shape, dtype, _), hosts = kept
    return math.prod(shape) * np.dtype(dtype).itemsize * len(hosts)


def _host(tensor: Any, array: NDArray[Any]) -> Any:
    return mnn().Tensor(array.shape, tensor.getDataType(), array, _layout(tensor))


def _layout(tensor: Any) -> Any:
    """Return the order of axes in which `tensor`'s shape is told: channels last only where the model has them last."""
    engine = mnn()
    last = engine.Tensor_DimensionType_Tensorflow
    return last if tensor.getDimensionType() == last else engine.Tensor_DimensionType_Caffe
