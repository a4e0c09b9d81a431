"""How far a script says that it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.models import NAME_PATTERN

MAX_PROGRESS = 2.0**53  # beyond it JavaScript would show another number
MAX_PROGRESS_TEXT = 200
_AMOUNT = {"ge": 0, "le": MAX_PROGRESS}


@dataclass(frozen=True)
class ProgressReported:
    """`done` of `total` units of the script's work, whatever these are; `total` is None where nobody can know."""

    done: float = field(metadata=_AMOUNT)
    total: float | None = field(default=None, metadata=_AMOUNT)
    text: str = field(default="", metadata={"max_length": MAX_PROGRESS_TEXT, "pattern": NAME_PATTERN})

    def __post_init__(self) -> None:
        if self.total is not None and self.done > self.total:
            raise InvalidInputError(f"{self.done:g} of {self.total:g} is more than all.")


def progress_fraction(done: float, total: float | None) -> float | None:
    """Return which part is done, 0 to 1; None where nobody can know. Nothing to do is all done."""
    if total is None:
        return None
    return done / total if total else 1.0


def amount_words(value: float) -> str:
    """Return an amount as a person reads it: `60,000`, `0.25`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def progress_words(done: float, total: float | None) -> str:
    """Return how much is done: `1,200 of 60,000`."""
    return amount_words(done) if total is None else f"{amount_words(done)} of {amount_words(total)}"


def progress_bar(fraction: float) -> str:
    """Return a bar for a terminal, 27 columns wide."""
    return f"[{'#' * round(20 * fraction):<20}] {fraction:4.0%}"
