"""How what a doctor finds is marked, on the computer and on the device."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Mark(StrEnum):
    """How a thing is: a warning may bite later, a problem does now."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


_SIGNS = {Mark.OK: ("✓", "+"), Mark.WARNING: ("!", "!"), Mark.PROBLEM: ("✗", "x")}


def worst(marks: Iterable[Mark]) -> Mark:
    """Return the worst of `marks`; without any all is well."""
    return max(marks, key=tuple(Mark).index, default=Mark.OK)


def sign(mark: Mark, encoding: str | None) -> str:
    """Return the character that stands for a mark in a text of this encoding (None: ASCII)."""
    best, plain = _SIGNS[mark]
    try:
        best.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return best
