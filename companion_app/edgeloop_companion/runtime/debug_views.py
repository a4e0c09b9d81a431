"""How a debugger shows arrays and tensors: what they are and their statistics first, their numbers a page at a time.

pydevd, the debugger inside debugpy, asks providers for the text of a value and for what it holds. Those here answer for numpy's
arrays, for the tensors of a breakpoint on an operator, and for MNN's own. A large one never travels as a whole: what an editor
opens is sent, and views of numpy cost no memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_QUICK = 1 << 20  # numbers whose statistics are shown unasked: about 3 ms
PAGE = 100
Entries: TypeAlias = list[tuple[str, Any, Any]]
"""Name, value, and what is put behind the parent's expression to get it (None: nothing does)."""


class Views:
    """Shows whatever has a view here. It is both of pydevd's kinds of providers."""

    def can_provide(self, kind: type, name: str) -> bool:  # noqa: ARG002 - pydevd's signature
        """Return whether values of this type are shown here."""
        return _view_of(kind) is not None

    def get_str(self, value: Any) -> str:
        """Return the one line that stands for a value."""
        view = _view_of(type(value))
        try:
            return "" if view is None else view[0](value)
        except Exception as error:  # of the script's own data: the debugger has to show something
            return f"<{type(value).__name__}, which cannot be read: {error}>"

    def get_contents_debug_adapter_protocol(self, value: Any, fmt: object = None) -> Entries:  # noqa: ARG002 - as above
        """Return what a value holds, in order."""
        view = _view_of(type(value))
        try:
            return [] if view is None else list(view[1](value))
        except Exception as error:  # as above
            return [("error", str(error), None)]

    def get_dictionary(self, value: Any) -> dict[str, Any]:
        """Return the same by name."""
        return {name: item for name, item, _ in self.get_contents_debug_adapter_protocol(value)}

    def resolve(self, value: Any, attribute: str) -> Any:
        """Return what is called `attribute` in a value."""
        return self.get_dictionary(value).get(attribute)


class Statistics:
    """The statistics of an array, computed when somebody looks."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array


class Page:
    """The items `start` to `stop` of an array's first axis."""

    def __init__(self, array: NDArray[Any], start: int, stop: int) -> None:
        self.array = array
        self.start = start
        self.stop = stop


def register() -> None:
    """Make pydevd ask here first. debugpy must have been imported."""
    from _pydevd_bundle.pydevd_extension_api import StrPresentationProvider, TypeResolveProvider
    from _pydevd_bundle.pydevd_extension_utils import extensions_of_type

    views = Views()
    for kind in (TypeResolveProvider, StrPresentationProvider):
        extensions_of_type(kind).insert(0, views)


def describe(array: NDArray[Any]) -> str:
    """Return dtype, shape and, of a small array of numbers, statistics."""
    head = f"{array.dtype.name} {list(array.shape)}"
    if array.dtype.kind not in "biuf" or not array.size:
        return head
    if array.size > MAX_QUICK:
        return f"{head}, {array.nbytes / 1e6:.0f} MB"
    return f"{head}, {_statistics_text(array)}"


def _statistics_text(array: NDArray[Any]) -> str:
    from edgeloop_task.tensor_statistics import TensorStatistics

    found = TensorStatistics(array)
    odd = [f"{count} {name}" for count, name in ((found.nan_count, "NaN"), (found.inf_count, "inf")) if count]
    figures = (
        f"{name} {getattr(found, name):.4g}"
        for name in ("min", "max", "mean", "std")
        if found.count > found.nan_count + found.inf_count
    )
    return ", ".join((*odd, *figures))


def _open_array(array: NDArray[Any]) -> Iterator[tuple[str, Any, Any]]:
    if array.dtype.kind in "biuf" and array.size:
        yield "statistics", Statistics(array), None
    yield "shape", tuple(array.shape), ".shape"
    yield "dtype", array.dtype.name, ".dtype.name"
    if array.ndim:
        yield from _items(array, 0, len(array))
    else:
        yield "value", array.item(), ".item()"


def _items(array: NDArray[Any], start: int, stop: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield items of the first axis, or pages of them: never more than `PAGE` of either."""
    step = 1
    while (stop - start) > PAGE * step:
        step *= PAGE
    for first in range(start, stop, step):
        if step == 1:
            item = array[first]
            yield f"[{first}]", item if getattr(item, "ndim", 0) else _plain(item), f"[{first - start}]"
        else:
            last = min(first + step, stop)
            yield f"[{first}:{last}]", Page(array, first, last), f"[{first - start}:{last - start}]"


def _plain(item: Any) -> Any:
    """Return a number of numpy's as Python's own, whose text is shorter."""
    return item.item() if hasattr(item, "item") else item


def _open_statistics(statistics: Statistics) -> Iterator[tuple[str, Any, Any]]:
    from edgeloop_task.tensor_statistics import TensorStatistics

    found = TensorStatistics(statistics.array)
    for name in ("count", "nan_count", "inf_count", "min", "max", "mean", "std", "abs_max", "p99_abs"):
        yield name, getattr(found, name), None


def _show_statistics(statistics: Statistics) -> str:
    return _statistics_text(statistics.array) if statistics.array.size <= MAX_QUICK else "open to compute"


def _open_page(page: Page) -> Iterator[tuple[str, Any, Any]]:
    yield from _items(page.array, page.start, page.stop)


def _show_page(page: Page) -> str:
    return describe(page.array[page.start : page.stop])


def _show_hit_tensor(tensor: Any) -> str:
    return f"{tensor.name}: {describe(tensor.array)}"


def _open_hit_tensor(tensor: Any) -> Iterator[tuple[str, Any, Any]]:
    yield "array", tensor.array, ".array"


def _show_variable(variable: Any) -> str:
    # Its numbers may not be computed yet, and to look must not compute them.
    return f"MNN {str(variable.dtype).rpartition('.')[2]} {list(variable.shape)}"


def _open_variable(variable: Any) -> Iterator[tuple[str, Any, Any]]:
    yield "array", variable.read(), ".read()"


def _show_tensor(tensor: Any) -> str:
    from edgeloop_task.native_tensors import dtype_of

    return f"MNN tensor {dtype_of(tensor)} {list(tensor.getShape())}"


def _open_tensor(tensor: Any) -> Iterator[tuple[str, Any, Any]]:
    from edgeloop_shared.errors import ModelError
    from edgeloop_task.native_tensors import copy_of

    try:
        array = copy_of(tensor, "the tensor")
    except ModelError:  # one that lies in the host's memory already
        array = tensor.getNumpyData().copy().reshape(tuple(tensor.getShape()))
    yield "array", array, None


_View: TypeAlias = tuple[Callable[[Any], str], Callable[[Any], Iterator[tuple[str, Any, Any]]]]
_OURS: dict[type, _View] = {
    Statistics: (_show_statistics, _open_statistics),
    Page: (_show_page, _open_page),
}


def _view_of(kind: type) -> _View | None:
    """Return how values of a type are shown; nothing is imported for it, since there are none before that."""
    if kind in _OURS:
        return _OURS[kind]
    numpy, hits = sys.modules.get("numpy"), sys.modules.get("edgeloop_task.operator_hit")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return describe, _open_array
    if hits is not None and issubclass(kind, hits.HitTensor):
        return _show_hit_tensor, _open_hit_tensor
    if (kind.__module__, kind.__name__) == ("builtins", "Var") and hasattr(kind, "fix_as_const"):
        return _show_variable, _open_variable  # MNN's, which says of itself that it is built in
    if (kind.__module__, kind.__name__) == ("MNN", "Tensor"):
        return _show_tensor, _open_tensor
    return None
