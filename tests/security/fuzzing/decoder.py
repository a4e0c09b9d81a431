"""A decoder of bytes that somebody else has written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "v1"


@dataclass(frozen=True)
class Decoder:
    """`decode` takes each of `seeds`, and raises nothing but `errors` for anything else.

    `encode` is its inverse, where there is one: what was decoded survives another round. One that `starts_processes` is given
    fewer inputs.
    """

    name: str
    seeds: tuple[bytes, ...]
    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...]
    encode: Callable[[Any], bytes] | None = None
    is_json: bool = False
    starts_processes: bool = False


def of_file(path: Path, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Return a `decode` that writes its input to `path` and reads it from there."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def write_and_read(data: bytes) -> Any:
        path.write_bytes(data)
        return read(path)

    return write_and_read


def golden(file: str, *names: str) -> tuple[bytes, ...]:
    """Return the golden frames of a file, or those with some names."""
    frames: dict[str, str] = json.loads((GOLDEN / file).read_text())
    return tuple(text.encode() for name, text in frames.items() if not names or name in names)
