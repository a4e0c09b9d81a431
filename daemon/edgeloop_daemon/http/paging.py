"""Lists in pages. A cursor names the last item of a page, so that pages stay stable while items come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Position = tuple[float, str]
"""A time in seconds and an id: what every list is ordered by."""

LIMIT = {"ge": 1, "le": 1000}
CURSOR = {
    "pattern": r"^[0-9]{1,12}\.[0-9]{1,9}_[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    "description": "The `next` of the page before.",
}
PREFIX = {"max_length": 64, "description": "Only those whose ids begin with this."}


@dataclass(frozen=True)
class ListQuery:
    """Which page of a list to return."""

    limit: int = field(default=1000, metadata=LIMIT)
    cursor: str | None = field(default=None, metadata=CURSOR)


def page_of(
    items: Sequence[T], query: ListQuery, position: Callable[[T], Position]
) -> tuple[tuple[T, ...], str | None]:
    """Return a page of items that are at hand, in ascending order of their positions, and the next page's cursor."""
    after = position_of(query.cursor)
    ordered = sorted(items, key=position)
    rest = ordered if after is None else [item for item in ordered if position(item) > after]
    return cut(rest, query.limit, position)


def cut(items: Sequence[T], limit: int, position: Callable[[T], Position]) -> tuple[tuple[T, ...], str | None]:
    """Return the first `limit` items, and the cursor behind them where there are more."""
    shown = tuple(items[:limit])
    return shown, cursor_of(position(shown[-1])) if len(items) > limit else None


def cursor_of(position: Position) -> str:
    """Return the cursor that stands for a position."""
    moment, name = position
    return f"{moment!r}_{name}"


def position_of(cursor: str | None) -> Position | None:
    """Return the position that a cursor, which fits its pattern, stands for."""
    if cursor is None:
        return None
    moment, _, name = cursor.partition("_")
    return float(moment), name
