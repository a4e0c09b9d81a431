"""References: the outputs of operators as they should be, from an earlier run or from a folder of `.npy` files.

The file of output 0 of the operator `conv1` is `conv1.npy`, that of output 1 `conv1#1.npy`; the second operator of the same
name is `conv1@2`. Letters of a name that do not fit into a file's name are percent-encoded as in a URL.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError, NotFoundError

_MAGIC = b"\x93NUMPY"
_MAX_NAME = 160  # of a file, in bytes: file systems take 255


class References(Protocol):
    """Outputs of operators by their keys (`reference_key`)."""

    def output(self, key: str, /) -> NDArray[Any] | None:
        """Return the reference, or None where there is none."""


class ReferenceFolder:
    """References in the `.npy` files of a folder, read when they are needed. Raises `NotFoundError` if there is no such folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise NotFoundError(
                f"There is no folder of references {self._folder}.",
                hint="Record one: with edgeloop_task.record('reference'): model(x)",
            )
        self._read: dict[str, NDArray[Any] | None] = {}

    def output(self, key: str, /) -> NDArray[Any] | None:
        """Return the array in the file of `key`. Raises `InvalidInputError` for a file that holds none."""
        if key not in self._read:
            path = self._folder / f"{key}.npy"
            self._read[key] = read_array(path) if path.is_file() else None
        return self._read[key]


def reference_key(name: str, occurrence: int, output: int) -> str:
    """Return the key of an operator's output; `occurrence` counts the operators of that name from 1."""
    key = quote(name, safe="")
    if not key or len(key) > _MAX_NAME or key.startswith("."):
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
        key = f"{key[:_MAX_NAME].lstrip('.')}~{digest}"
    return key + (f"@{occurrence}" if occurrence > 1 else "") + (f"#{output}" if output else "")


def references_of(source: str | os.PathLike[str] | References) -> References:
    """Return `source` itself, or the references in the folder that it names."""
    return ReferenceFolder(source) if isinstance(source, str | os.PathLike) else source


def read_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of a `.npy` file, mapped into memory. Raises `NotFoundError` and `InvalidInputError`."""
    try:
        with Path(path).open("rb") as file:
            is_array = file.read(len(_MAGIC)) == _MAGIC  # numpy would take archives and pickles as well
        loaded = np.load(path, mmap_mode="r", allow_pickle=False) if is_array else None
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {os.fspath(path)}.", hint="Write one with numpy.save.") from None
    except Exception as error:  # numpy raises whatever its parser stumbles on
        raise _no_array(path, f"{type(error).__name__}: {error}") from None
    if loaded is None:
        raise _no_array(path, "it does not begin as one")
    array: NDArray[Any] = loaded
    return array


def _no_array(path: str | os.PathLike[str], why: str) -> InvalidInputError:
    return InvalidInputError(f"{os.fspath(path)} is no `.npy` file: {why}.", hint="Write one with numpy.save.")
