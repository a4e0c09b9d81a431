"""The nodes of the source model, by the operators of a model that has a record of its conversion beside it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from edgeloop_shared.conversions import Conversion, Node, read_conversion


class SourceNodes:
    """Those of the model at `path`. The record is read when it is needed first: only observed runs name operators."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, operator: str) -> Node | None:
        """Return the node of an operator; None where it is not known."""
        return self._conversion.find(operator) if self._conversion else None

    @cached_property
    def _conversion(self) -> Conversion | None:
        return read_conversion(self._path)
