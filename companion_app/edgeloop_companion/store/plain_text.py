"""Words of scripts and of computers, made harmless for a screen."""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[@-Z\\\\-_])")
"""Colours and the like, as ECMA-48 writes them."""
_DEPTH = 8


def plain(text: str, limit: int = 200) -> str:
    """Return one line of at most `limit` characters, without anything that steers a terminal or the direction of writing."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    text = _ESCAPES.sub("", text).replace("\t", "    ").replace("\n", " ")
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:limit])


def plain_lines(text: str, limit: int = 3000) -> str:
    """Return the same of several lines, the last ones where they are too many."""
    return "\n".join(plain(line) for line in text[-limit:].splitlines())[-limit:]


def plain_value(value: Any, limit: int = 200) -> str:
    """Return a JSON value in a line of at most `limit` characters, looking at no more of it than that takes."""
    pieces: list[str] = []
    left = _add(value, pieces, limit, 0)
    return plain("".join(pieces) + ("" if left > 0 else "…"), limit)


def _add(value: Any, pieces: list[str], left: int, depth: int) -> int:
    """Add the pieces of a value; return how many more characters there is room for."""
    if left <= 0:
        return left
    if isinstance(value, dict | list | tuple) and depth < _DEPTH:
        begin, end = "{}" if isinstance(value, dict) else "[]"
        pieces.append(begin)
        left -= 2
        for number, item in enumerate(value):
            piece = ", " if number else ""
            if isinstance(value, dict):
                piece += f"{str(item)[:left]}: "
                item = value[item]
            pieces.append(piece)
            left = _add(item, pieces, left - len(piece), depth + 1)
            if left <= 0:
                return left
        pieces.append(end)
        return left
    piece = _scalar(value, left)
    pieces.append(piece[:left])
    return left - len(piece)


def _scalar(value: Any, limit: int) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)[: limit + 1] if isinstance(value, str | int) else "…"
