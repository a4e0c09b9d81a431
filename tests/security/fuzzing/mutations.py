"""Damaged inputs: bytes changed anywhere, and, where the input has a structure, changes that keep it well-formed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63)
TEXTS = (
    "",
    "\0",
    "..",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "a\\b",
    "a" * 70_000,
    "\ud800",
    "\u202e",
    "\x1b[2J",
    "<script>",
    "ﬀ",
    "é",
    "r1.events",
    "1e999",
    "0" * 64,
    "NaN",
    "type",
)
MAX_BYTES = 256 * 1024  # what a repetition may make of an input
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(source: random.Random, seeds: Sequence[bytes], *, is_json: bool) -> bytes:
    """Return one damaged variant of one of `seeds`; now and then a seed as it is, and random bytes."""
    data = source.choice(seeds)
    kinds = (*_BYTES, *(_JSON * 2 if is_json else ()))
    for _ in range(source.choice((0, 1, 1, 1, 2, 3, 8))):
        data = source.choice(kinds)(source, data, seeds)
    return data if source.random() > 0.02 else source.randbytes(source.choice((0, 1, 4, 16, 100, 1000)))


def _flip(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return _put(data, at := _place(source, data), bytes([data[at] ^ 1 << source.randrange(8)])) if data else data


def _byte(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return _put(data, _place(source, data), source.randbytes(1))


def _number(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    code = source.choice(("<B", "<H", "<I", "<Q", ">I"))
    value = source.choice(NUMBERS) % (1 << 8 * struct.calcsize(code))
    return _put(data, _place(source, data), struct.pack(code, value))


def _cut(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: _place(source, data)]


def _remove(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = _place(source, data)
    return data[:start] + data[start + source.choice((1, 2, 4, 16, 100)) :]


def _repeat(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = _place(source, data)
    piece = data[start : start + source.choice((1, 4, 32, 200))]
    return data[:start] + piece * source.choice((2, 2, 3, 50)) + data[start:] if len(data) < MAX_BYTES else data


def _splice(source: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = source.choice(seeds)
    return data[: _place(source, data)] + other[_place(source, other) :]


def _insert(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(source, data)
    piece = source.choice(
        (b"\0", b"\xff", b"\n", b'"', b"{", b"[" * 3000, b"9" * 5000, b"\xed\xa0\x80", b" ", b"=", b".")
    )
    return data[:at] + piece + data[at:]


def _node(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Change one value of a JSON document."""
    return _edited(source, data, lambda parent, key: parent.__setitem__(key, _value(source)))


def _drop(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return _edited(source, data, lambda parent, key: parent.__delitem__(key))


def _multiply(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    most = MAX_BYTES // (len(data) + 1)

    def edit(parent: Any, key: Any) -> None:
        if isinstance(parent, list):
            parent.extend([parent[key]] * min(most, source.choice((1, 1, 10, 10, 2000))))
        else:
            parent[source.choice(TEXTS[:8])] = parent[key]

    return _edited(source, data, edit)


def _nest(source: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    def edit(parent: Any, key: Any) -> None:
        value = parent[key]
        for _ in range(source.choice((1, 2, 31, 33, 500))):
            value = [value] if source.random() < 0.5 else {"x": value}
        parent[key] = value

    return _edited(source, data, edit)


_BYTES: tuple[Mutation, ...] = (_flip, _byte, _number, _cut, _remove, _repeat, _splice, _insert)
_JSON: tuple[Mutation, ...] = (_node, _node, _drop, _multiply, _nest)


def _place(source: random.Random, data: bytes) -> int:
    """Return a place in `data`: often near its beginning, where headers stand."""
    if not data:
        return 0
    return source.randrange(min(len(data), 64)) if source.random() < 0.4 else source.randrange(len(data))


def _put(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _value(source: random.Random) -> Any:
    if source.random() < 0.4:
        return source.choice(TEXTS)
    if source.random() < 0.5:
        return source.choice((*NUMBERS, -(2**63), -(2**63) - 1, 0.5, -0.0, 1e308, 10**400))
    return source.choice((None, True, False, [], {}, [[]], {"": None}, ["x"] * 100, {str(n): n for n in range(50)}))


def _edited(source: random.Random, data: bytes, edit: Callable[[Any, Any], None]) -> bytes:
    """Apply `edit` to a random (container, key) of the JSON document in `data`; what is none stays as it is."""
    try:
        document = json.loads(data)
        places: list[tuple[Any, Any]] = []
        _collect(document, places)
        if places:
            edit(*source.choice(places))
        return json.dumps(document, ensure_ascii=source.random() < 0.5).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return data


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    if len(places) > 500:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        places.append((value, key))
        _collect(item, places)
