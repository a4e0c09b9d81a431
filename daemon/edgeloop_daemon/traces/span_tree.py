"""The tree of spans: how often each place was gone through, and how long that took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field
from itertools import islice

from edgeloop_daemon.traces.blocks import MAX_TOTAL
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.spans import SpanBatch, SpanKind

Path = tuple[tuple[SpanKind, str], ...]
"""A place, the outermost span first."""
_MAX_SUMMARY = 64 * 1024**2
_MAX_PLACES = 1 << 20
MAX_ROWS = 10_000


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
            min(self.total + other.total, MAX_TOTAL),
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
        paths: list[Path] = []
        for place in decode_json(_Summary, data, max_bytes=_MAX_SUMMARY).places:
            outer = paths[place.parent] if 0 <= place.parent < len(paths) else ()
            paths.append((*outer, (place.kind, place.name)))
            if place.count:
                self._count(paths[-1], Visits(place.count, place.total, place.shortest, place.longest))

    def summary(self) -> bytes:
        """Return all visits as bytes: a place is named once, however many lie in it."""
        numbers: dict[Path, int] = {(): -1}
        places: list[_Place] = []
        nothing = Visits(0, 0, 0, 0)
        for path in self._visits:
            for length in range(1, len(path) + 1):
                place = path[:length]
                if place not in numbers:
                    numbers[place] = len(places)
                    visits = self._visits.get(place, nothing)
                    places.append(_Place(*place[-1], numbers[place[:-1]], *astuple(visits)))
        return encode_json(_Summary(tuple(places)))

    def rows(self) -> tuple[SpanRow, ...]:
        """Return the tree, depth first, of equals the one that took longest first, at most `MAX_ROWS`.

        Places that have not ended yet count zero.
        """
        children: dict[Path, dict[Path, None]] = {}
        for path in tuple(self._visits):
            for length in range(len(path), 0, -1):
                place, outer = path[:length], path[: length - 1]
                known = children.setdefault(outer, {})
                if place in known:
                    break
                known[place] = None
        return tuple(islice(self._below((), children), MAX_ROWS))

    def _below(self, place: Path, children: Mapping[Path, Mapping[Path, None]]) -> Iterator[SpanRow]:
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
    kind: SpanKind
    name: str
    parent: int
    count: int
    total: int
    shortest: int
    longest: int


@dataclass(frozen=True)
class _Summary:
    places: tuple[_Place, ...] = field(metadata={"max_length": _MAX_PLACES})
