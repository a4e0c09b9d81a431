"""The strokes of the signs, on a grid of 24 by 24 units whose origin is at the bottom left."""

from __future__ import annotations

from dataclasses import dataclass

Polyline = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Circle:
    """A circle around a point."""

    x: float
    y: float
    radius: float


def _box(left: float, bottom: float, right: float, top: float) -> Polyline:
    return ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))


PATHS: dict[str, tuple[Polyline | Circle, ...]] = {
    "scan": (  # the corners of a finder, and a code in it
        ((3, 8), (3, 3), (8, 3)),
        ((16, 3), (21, 3), (21, 8)),
        ((21, 16), (21, 21), (16, 21)),
        ((8, 21), (3, 21), (3, 16)),
        _box(8, 8, 16, 16),
    ),
    "computer": (_box(4, 7, 20, 19), ((1.5, 4), (22.5, 4))),
    "tasks": (
        _box(3, 15, 7, 19),
        _box(3, 5, 7, 9),
        ((11, 17), (21, 17)),
        ((11, 7), (21, 7)),
    ),
    "chip": (
        _box(6, 6, 18, 18),
        _box(10, 10, 14, 14),
        ((9, 2), (9, 6)),
        ((15, 2), (15, 6)),
        ((9, 18), (9, 22)),
        ((15, 18), (15, 22)),
        ((2, 9), (6, 9)),
        ((2, 15), (6, 15)),
        ((18, 9), (22, 9)),
        ((18, 15), (22, 15)),
    ),
    "sliders": (
        ((3, 18), (12, 18)),
        Circle(15, 18, 2.5),
        ((18, 18), (21, 18)),
        ((3, 12), (5, 12)),
        Circle(8, 12, 2.5),
        ((11, 12), (21, 12)),
        ((3, 6), (12, 6)),
        Circle(15, 6, 2.5),
        ((18, 6), (21, 6)),
    ),
    "torch": (
        ((7, 22), (17, 22), (17, 18), (14, 14), (14, 2), (10, 2), (10, 14), (7, 18), (7, 22)),
        ((7, 18), (17, 18)),
        ((12, 9), (12, 11)),
    ),
    "back": (((20, 12), (4, 12)), ((11, 19), (4, 12), (11, 5))),
    "next": (((9, 19), (16, 12), (9, 5)),),
    "close": (((5, 5), (19, 19)), ((5, 19), (19, 5))),
    "stop": (_box(6, 6, 18, 18),),
    "check": (((4, 12), (10, 6), (20, 18)),),
    "warning": (((12, 21), (2, 3), (22, 3), (12, 21)), ((12, 15), (12, 9)), ((12, 6.6), (12, 6))),
    "error": (Circle(12, 12, 9), ((12, 17), (12, 11)), ((12, 7.6), (12, 7))),
    "info": (Circle(12, 12, 9), ((12, 7), (12, 13)), ((12, 16.4), (12, 17))),
}
