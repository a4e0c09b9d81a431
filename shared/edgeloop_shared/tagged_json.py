"""JSON objects that say by their `type` what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeloop_shared.codec import decode, encode_json, members, parse_json, printable
from edgeloop_shared.errors import InvalidInputError, MessageError


def dump(message: object, kinds: Mapping[str, type]) -> bytes:
    """Return `message`, of one of `kinds`, as JSON."""
    name = next(name for name, kind in kinds.items() if kind is type(message))
    return encode_json({"type": name, **members(message)})


def load(text: str | bytes, kinds: Mapping[str, Any], max_bytes: int) -> Any:
    """Return the message in `text`, of one of `kinds`. Raises `MessageError` for anything else."""
    record = parse_json(text, max_bytes=max_bytes)
    name = record.pop("type", None) if isinstance(record, dict) else None
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        shown = printable(name) if isinstance(name, str) else ""
        raise MessageError("A message has no type that this edgeloop knows.", details={"type": shown})
    try:
        return decode(kind, record)
    except InvalidInputError as error:
        raise MessageError(f"A {name} message does not fit: {error.message}", details=error.details) from None
