"""Stages of a script's preprocessing, by name: recorded while a divergence search listens, and nothing at any other time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError

T = TypeVar("T")
MAX_STAGES = 256
MAX_STAGE_NAME = 100
_KINDS = "biuf"  # of numpy's dtypes


class StageRecorder:
    """The stages of a script in their order, each as it was the first time; later ones of the same name are not kept."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Keep a copy of a stage: the script may go on to write into the array. At most `MAX_STAGES` are kept."""
        if name not in self.arrays and len(self.arrays) < MAX_STAGES:
            self.arrays[name] = np.array(array, copy=True)


class _Listener:
    """The recorder of this process: a script knows nothing of a search around it."""

    recorder: StageRecorder | None = None


def stage(name: str, array: T) -> T:
    """Name what a step of the preprocessing has made, and return it unchanged.

    `edgeloop diverge SCRIPT` runs a script here and on a device and compares the stages in their order; on any other occasion this
    does nothing. `array` is anything that numpy takes as an array of numbers: `[height, width, channels]` of an image, say. Of
    several arrays under one name the first counts. Raises `InvalidInputError` for an empty or overlong name and for what is no
    array of numbers.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_STAGE_NAME or not name.isprintable():
        raise InvalidInputError(
            f"A stage cannot be called {printable(str(name)[:MAX_STAGE_NAME])!r}.",
            hint=f"Give it a short printable name, such as 'resize': at most {MAX_STAGE_NAME} characters.",
        )
    if _Listener.recorder is not None:
        numbers = np.asarray(array)
        if numbers.dtype.kind not in _KINDS:
            raise InvalidInputError(
                f"The stage {name!r} is no array of numbers: it is {numbers.dtype}.",
                hint="Pass numpy arrays or what numpy.asarray makes one of.",
            )
        _Listener.recorder.add(name, numbers)
    return array


@contextmanager
def recording() -> Iterator[StageRecorder]:
    """Record the stages for the block."""
    recorder = _Listener.recorder = StageRecorder()
    try:
        yield recorder
    finally:
        _Listener.recorder = None
