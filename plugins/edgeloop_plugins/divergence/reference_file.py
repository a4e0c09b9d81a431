"""A recorded reference: the tensors of an earlier run in an `.npz`.

Its entries are called `input/NAME`, `stage/NAME`, `operator/KEY` and `output/NAME`; a KEY is that of `edgeloop_task.references`:
the operator's name, percent-encoded, with `@2` for the second of that name and `#1` for its output 1. `model` is the SHA-256 of
the model that ran.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from edgeloop_plugins.divergence import results
from edgeloop_plugins.divergence.sides import Recorded, Work
from edgeloop_shared.errors import InvalidInputError, NotFoundError, TooLargeError
from edgeloop_task.references import reference_key
from edgeloop_task.run_record import NamedTensor, RecordedOperator, RunRecord
from edgeloop_task.tensor_signature import signature_of

MAX_BYTES = 16 * 1024**3
_MODEL = "model"
_KEY = re.compile(r"^(?P<name>.*?)(@(?P<occurrence>\d{1,6}))?(#(?P<output>\d{1,3}))?$")


class ReferenceFile:
    """A file that `save` wrote, or that somebody made in its form. Raises `NotFoundError` and `InvalidInputError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays = _read(path)
        model = self._arrays.pop(_MODEL, None)
        self.model = None if model is None else str(model)
        """The SHA-256 of the model that ran, where the file tells."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """The inputs that the run had."""
        return self._part("input")

    def record(self, _work: Work) -> Recorded:
        """Return what the file holds."""
        operators: dict[tuple[str, int], dict[int, NDArray[Any]]] = {}
        for key, array in self._part("operator").items():
            found = _KEY.match(key)
            assert found is not None
            place = unquote(found["name"]), int(found["occurrence"] or 1)
            operators.setdefault(place, {})[int(found["output"] or 0)] = array
        record = RunRecord(
            engine="recorded",
            stages=_named(self._part("stage")),
            inputs=_named(self.inputs),
            operators=tuple(
                RecordedOperator(name, "", occurrence, (), tuple(signature_of(found[at]) for at in sorted(found)))
                for (name, occurrence), found in operators.items()
            ),
            outputs=_named(self._part("output")),
        )
        return Recorded(record, self._arrays)

    def side(self, _work: Work, engine: str) -> results.Side:
        """Return how it is shown."""
        return results.Side("a file", self._path.name, "", engine)

    def _part(self, part: str) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(f"{part}/"): array for name, array in self._arrays.items() if name.startswith(f"{part}/")
        }


def save(path: Path, recorded: Recorded, inputs: Mapping[str, NDArray[Any]], model: str) -> None:
    """Write the tensors of a run that kept them all: of operators, outputs and inputs. `model` is the SHA-256 of its model."""
    arrays = {f"input/{name}": array for name, array in inputs.items()}
    arrays[_MODEL] = np.array(model)
    kept = ("operator/", "stage/", "output/")
    arrays |= {name: array for name, array in recorded.tensors.items() if name.startswith(kept)}
    if not path.parent.is_dir():
        raise NotFoundError(f"There is no folder {path.parent}.", hint="Choose another place with --save.")
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(arrays: Mapping[str, NDArray[Any]]) -> tuple[NamedTensor, ...]:
    return tuple(NamedTensor(name, signature_of(array)) for name, array in arrays.items())


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", hint="Write one with --save.")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        arrays = {}
        if size <= MAX_BYTES:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # of a damaged file: zlib, tokenize, struct and many more speak up through numpy
        raise InvalidInputError(f"{path} cannot be read as arrays: {error}.", hint="Write it with --save.") from None
    if size > MAX_BYTES:
        raise TooLargeError(f"{path} holds {size} bytes.", hint="Record less.", details={"limit": MAX_BYTES})
    known = {
        name: array
        for name, array in arrays.items()
        if name.partition("/")[0] in ("input", "stage", "operator", "output") or name == _MODEL
    }
    if not known.keys() - {_MODEL}:
        raise InvalidInputError(
            f"{path} holds no recorded run: none of its arrays is called operator/NAME, stage/NAME or output/NAME.",
            hint=f"Write it with --save, or name the arrays so, as in operator/{reference_key('conv1', 1, 0)}.",
        )
    return known
