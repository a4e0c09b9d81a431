"""The tree of spans: how often each place was gone through, and how long that took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.spans import SpanBatch, SpanKind

Path = tuple[tuple[SpanKind, str], ...]
"""A place, the outermost span first."""
_MAX_SUMMARY = 64 * 1024**2


@dataclass(frozen=True)
class Visits:
    """How often a place was gone through; times in nanoseconds."""

    count: int
    total: int
    shortest: int
    longest: int

    def __add__(self, other: Visits) -> Visits:
        return Visits(
            self.count + other.count,
            self.total + other.total,
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
        )


@dataclass(frozen=True)
class SpanRow:
    """A place in the tree, below the last row before it that is less deep. Times are milliseconds over all calls.

    `self_ms` is what none of the spans within it took; `kind` is `span` (of the script), `run` or `load` (of a model) or `gc`.
    """

    depth: int
    kind: SpanKind
    name: str
    calls: int
    total_ms: float
    self_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float


class SpanTree:
    """Visits by place."""

    def __init__(self) -> None:
        self._visits: dict[Path, Visits] = {}

    def add(self, batch: SpanBatch) -> None:
        """Count the spans of a batch."""
        paths: list[Path] = []
        for label in batch.texts.labels:
            outer = paths[label.parent] if label.parent >= 0 else ()
            paths.append((*outer, (label.kind, label.name)))
        for label_number, duration in zip(batch.label, batch.duration_ns, strict=True):
            self._count(paths[label_number], Visits(1, duration, duration, duration))

    def add_summary(self, data: bytes) -> None:
        """Count what an earlier tree's `summary` holds. Raises `MessageError`."""
        for row in decode_json(_Summary, data, max_bytes=_MAX_SUMMARY).places:
            self._count(
                tuple((kind, name) for kind, name in zip(row.kinds, row.names, strict=True)), Visits(*row.visits)
            )

    def summary(self) -> bytes:
        """Return all visits as bytes."""
        rows = tuple(
            _Place(
                tuple(kind for kind, _ in path),
                tuple(name for _, name in path),
                (visits.count, visits.total, visits.shortest, visits.longest),
            )
            for path, visits in self._visits.items()
        )
        return encode_json(_Summary(rows))

    def rows(self) -> tuple[SpanRow, ...]:
        """Return the tree, depth first, of equals the one that took longest first; places that have not ended yet count zero."""
        children: dict[Path, list[Path]] = {}
        for path in tuple(self._visits):
            for length in range(len(path), 0, -1):
                place, outer = path[:length], path[: length - 1]
                known = children.setdefault(outer, [])
                if place in known:
                    break
                known.append(place)
        return tuple(self._below((), children))

    def _below(self, place: Path, children: dict[Path, list[Path]]) -> Iterable[SpanRow]:
        nothing = Visits(0, 0, 0, 0)
        for path in sorted(children.get(place, ()), key=lambda one: -self._visits.get(one, nothing).total):
            visits = self._visits.get(path, nothing)
            inner = sum(self._visits.get(one, nothing).total for one in children.get(path, ()))
            kind, name = path[-1]
            yield SpanRow(
                len(path) - 1,
                kind,
                name,
                visits.count,
                visits.total / 1e6,
                max(0, visits.total - inner) / 1e6,
                visits.total / 1e6 / max(1, visits.count),
                visits.shortest / 1e6,
                visits.longest / 1e6,
            )
            yield from self._below(path, children)

    def _count(self, path: Path, visits: Visits) -> None:
        known = self._visits.get(path)
        self._visits[path] = visits if known is None else known + visits


@dataclass(frozen=True)
class _Place:
    kinds: tuple[SpanKind, ...]
    names: tuple[str, ...]
    visits: tuple[int, ...]


@dataclass(frozen=True)
class _Summary:
    places: tuple[_Place, ...]
