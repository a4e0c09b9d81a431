"""Small plots as inline SVG that keep their letters' size at every width.

The SVG elements have no view box: what lies along a scale is given in per cent of the width, everything else in pixels.
Colours come from the page's style sheet by class.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Format = Callable[[float], str]
_PLOT_HEIGHT = 150
_ROW_HEIGHT = 28
_LARGEST = 1e15  # what lies beyond is a mistake, and no scale should stretch to it
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escaped(text: str) -> str:
    """Return `text` for any place of the page; characters that are invisible or turn the text round become U+FFFD."""
    visible = "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cs", "Cn") or character in _BIDI_CONTROLS else character
        for character in text
    )
    return html.escape(visible, quote=True)


@dataclass(frozen=True)
class Scale:
    """A linear scale from `low` to `high`, `low < high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], *, zero: bool = False, margin: float = 0.06) -> Scale:
        """Return a scale that holds every finite value with some margin; one that begins at zero if `zero` says so."""
        finite = [float(value) for value in values if abs(value) < _LARGEST] or [0.0, 1.0]
        low, high = (min(0.0, *finite) if zero else min(finite)), max(finite)
        if high - low < max(abs(low), abs(high), 1e-9) * 1e-6:  # as good as one value: some room on both sides
            room = max(abs(high) * 0.1, 1e-9)
            return cls(low if zero else low - room, high + room)
        room = (high - low) * margin
        return cls(low if zero else low - room, high + room)

    def at(self, value: float) -> float:
        """Return where `value` lies, in per cent of the scale, kept within it."""
        if not math.isfinite(value):
            return 0.0
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)

    def ticks(self, most: int = 4) -> list[float]:
        """Return at most `most` round values within the scale."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, first + most + 2) if index * step <= self.high + step * 1e-9]


def bar(fraction: float, title: str) -> str:
    """Return a horizontal bar over `fraction` (0..1) of the width."""
    width = Scale(0, 1).at(fraction)
    return _row_svg(
        f'<rect class="track" y="10" width="100%" height="8" rx="4"/>'
        f'<rect class="mark" y="10" width="{width}%" height="8" rx="4"/>',
        title,
    )


def dot(value: float, error: float, scale: Scale, title: str) -> str:
    """Return a dot at `value` with a whisker of `error` to both sides, over the scale's grid."""
    return _row_svg(
        f"{_grid(scale)}{_line(scale.at(value - error), scale.at(value + error), 'whisker')}"
        f'<circle class="mark" cx="{scale.at(value)}%" cy="14" r="5"/>',
        title,
    )


def box(deciles: Sequence[float], scale: Scale, title: str) -> str:
    """Return the distribution whose deciles, p10 to p90, are given: a whisker, a box from p30 to p70, a line at p50."""
    if len(deciles) != 9:
        return _row_svg(_grid(scale), title)
    left, right, middle = scale.at(deciles[2]), scale.at(deciles[6]), scale.at(deciles[4])
    return _row_svg(
        f"{_grid(scale)}{_line(scale.at(deciles[0]), scale.at(deciles[8]), 'whisker')}"
        f'<rect class="box" x="{left}%" y="8" width="{round(max(0.4, right - left), 3)}%" height="12" rx="3"/>'
        f'<line class="median" x1="{middle}%" x2="{middle}%" y1="6" y2="22"/>',
        title,
    )


def axis(scale: Scale, form: Format) -> str:
    """Return the numbers below rows that share `scale`."""
    texts = "".join(
        f'<text class="tick" x="{scale.at(tick)}%" y="12" text-anchor="middle">{escaped(form(tick))}</text>'
        for tick in scale.ticks()
    )
    return f'<svg class="axis" width="100%" height="16" aria-hidden="true">{texts}</svg>'


def curve(points: Sequence[tuple[float, float]], form: Format, title: str, *, zero: bool = False) -> str:
    """Return a line through `points` (x ascending) with both axes; nothing but a sentence if there are none."""
    finite = [(x, y) for x, y in points if abs(x) < _LARGEST and abs(y) < _LARGEST]
    if not finite:
        return '<p class="quiet">Nothing was reported.</p>'
    across = Scale.around((x for x, _ in finite), margin=0.0)
    up = Scale.around((y for _, y in finite), zero=zero)
    top = [(tick, round(_PLOT_HEIGHT * (1 - up.at(tick) / 100), 2)) for tick in up.ticks(4)]
    gutter = "".join(
        f'<text class="tick" x="38" y="{y + 4}" text-anchor="end">{escaped(form(v))}</text>' for v, y in top
    )
    grid = "".join(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>' for _, y in top)
    path = " ".join(f"{across.at(x)},{round(100 - up.at(y), 3)}" for x, y in finite)
    steps = "".join(
        f'<text class="tick" x="{across.at(tick)}%" y="{_PLOT_HEIGHT + 18}" text-anchor="middle">{tick:g}</text>'
        for tick in across.ticks()
    )
    last_x, last_y = finite[-1]
    return (
        f'<div class="plot"><svg class="gutter" width="44" height="{_PLOT_HEIGHT + 24}" aria-hidden="true">{gutter}</svg>'
        f'<svg class="area" width="100%" height="{_PLOT_HEIGHT + 24}" role="img" aria-label="{escaped(title)}">'
        f"<title>{escaped(title)}</title>{grid}"
        f'<svg width="100%" height="{_PLOT_HEIGHT}" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<polyline class="curve" points="{path}"/></svg>'
        f'<circle class="mark" cx="{across.at(last_x)}%" cy="{round(_PLOT_HEIGHT * (1 - up.at(last_y) / 100), 2)}" r="4"/>'
        f"{steps}</svg></div>"
    )


def _row_svg(content: str, title: str) -> str:
    label = escaped(title)
    return f'<svg width="100%" height="{_ROW_HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>{content}</svg>'


def _grid(scale: Scale) -> str:
    return "".join(
        f'<line class="grid" x1="{scale.at(tick)}%" x2="{scale.at(tick)}%" y1="0" y2="{_ROW_HEIGHT}"/>'
        for tick in scale.ticks()
    )


def _line(left: float, right: float, name: str) -> str:
    return f'<line class="{name}" x1="{left}%" x2="{right}%" y1="14" y2="14"/>'
