"""Where lines end. Kivy ends them at spaces alone: those of Chinese too early, or else before a full stop.

A name or an address that is wider than a line it cuts off anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from edgeloop_companion.ui.fonts import is_far_east

# The classes CL, CP, EX, IN, IS and NS of the Unicode line breaking algorithm (UAX 14), and OP, as far as they are in use here.
NEVER_FIRST = frozenset("，。、：；？！）》」』】〉〕”’…—·,.:;?!)]}%")
NEVER_LAST = frozenset("（《「『【〈〔“‘([{")
_PART = re.compile(r"[^-/_.:@=&?,\\]*[-/_.:@=&?,\\]+|[^-/_.:@=&?,\\]+")
"""Of a name, a path or an address: it ends behind its sign."""


def needs_breaks(text: str, width: float, measure: Callable[[str], float]) -> bool:
    """Return whether Kivy would end lines of `text` where none should end."""
    return is_far_east(text) or measure(max(text.split(), key=len, default="")) > width


def break_lines(text: str, width: float, measure: Callable[[str], float]) -> str:
    """Return `text` with line ends where lines that are `width` wide end; `measure` tells how wide a text is.

    Far Eastern characters may begin a line anywhere, other words only behind a space. One that is wider than a line ends behind a
    hyphen, a slash or the like, and only where there is none anywhere.
    """
    return "\n".join(line for paragraph in text.split("\n") for line in _lines(paragraph, width, measure))


def _lines(text: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    pieces, line = list(_pieces(text))[::-1], ""
    while pieces:
        piece = pieces.pop()
        if measure((line + piece).rstrip(" ")) <= width:
            line += piece
        elif line:
            yield line.rstrip(" ")
            line = ""
            pieces.append(piece)
        elif len(piece) > 1:
            parts = _PART.findall(piece)
            pieces.extend(reversed(parts if len(parts) > 1 else piece))
        else:
            line = piece
    yield line


def _pieces(text: str) -> Iterator[str]:
    """What stands on one line if it can."""
    start = 0
    for end in range(1, len(text)):
        if _may_end(text[end - 1], text[end]):
            yield text[start:end]
            start = end
    if text:
        yield text[start:]


def _may_end(last: str, first: str) -> bool:
    if first == " " or last in NEVER_LAST or first in NEVER_FIRST:
        return False
    return last == " " or is_far_east(last) or is_far_east(first)
