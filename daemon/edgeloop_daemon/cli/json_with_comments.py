"""JSON with comments and trailing commas, as editors keep it: adding to an array without touching anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PIECE = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|[{}\[\]:,]|[^\s{}\[\]:,"/]+|\s+|.', re.DOTALL)


def add_to_array(text: str, name: str | None, item: Mapping[str, Any], key: str) -> str | None:
    """Return `text` with `item` as the first of the array `name` of its object (None: the text is the array).

    None comes back where the array has an item with the same value for `key`. Raises `ValueError` for text that is no JSON with
    comments, or has another form.
    """
    text = text if _pieces(text) else text + "{\n}\n"
    value = parse(text)
    found = value if name is None else value.get(name, []) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"it holds no array {name or ''}".rstrip())  # noqa: TRY004 - a wrong text, not a wrong call
    if any(isinstance(one, dict) and one.get(key) == item[key] for one in found):
        return None
    at = _position(text, name)
    if at is None:  # an object without that array
        at = text.index("{", _first(text)) + 1
        added = f"\n    {json.dumps(name)}: [\n{_indented(item)}\n    ]"
        return text[:at] + added + ("," if value else "") + text[at:]
    return text[:at] + f"\n{_indented(item)}" + ("," if found else "\n    ") + text[at:]


def parse(text: str) -> Any:
    """Return the values of a JSON text that may hold comments and trailing commas. Raises `ValueError`."""
    kept: list[str] = []
    for piece in _pieces(text):
        if piece in "]}" and kept and kept[-1] == ",":
            kept.pop()
        kept.append(piece)
    return json.loads(" ".join(kept))


def _pieces(text: str) -> list[str]:
    return [match[0] for match in _PIECE.finditer(text) if not match[0].isspace() and match[0][:2] not in ("//", "/*")]


def _first(text: str) -> int:
    """Return where the value begins, behind comments."""
    for match in _PIECE.finditer(text):
        if not match[0].isspace() and match[0][:2] not in ("//", "/*"):
            return match.start()
    return 0


def _position(text: str, name: str | None) -> int | None:
    """Return where the first item of the wanted array begins."""
    depth, before = 0, ["", ""]
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece.isspace() or piece[:2] in ("//", "/*"):
            continue
        if piece == "[" and (depth == 0 if name is None else depth == 1 and before == [json.dumps(name), ":"]):
            return match.end()
        depth += (piece in "{[") - (piece in "}]")
        before = [before[1], piece]
    return None


def _indented(item: Mapping[str, Any]) -> str:
    return "\n".join("        " + line for line in json.dumps(item, indent=4).splitlines())
