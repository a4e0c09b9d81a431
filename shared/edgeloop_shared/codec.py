"""JSON to frozen dataclasses and back, strictly and with limits: the only way in for a peer's bytes.

The types understood are `str`, `int`, `float`, `bool`, `None`, `Any` (any JSON value), enums and `Literal`, `NewType`, unions,
`tuple[T, ...]`, `Mapping[str, T]` and dataclasses of these. Nothing is coerced: `"4"` and `True` are no int, but 4 is a float,
and 4.0 an int. Integers fit 64 bits, text is UTF-8 without lone surrogates, unknown and missing fields are refused, and
`field(metadata=...)` holds constraints under pydantic's names: `ge`, `gt`, `le`, `lt`, `min_length`, `max_length`, `pattern`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from edgeloop_shared.errors import InvalidInputError, MessageError

T = TypeVar("T")

MAX_DEPTH = 32
MAX_TEXT = 64 * 1024  # of one string without a `max_length` of its own
MAX_ITEMS = 10_000  # of one array or mapping without a `max_length` of its own
INTEGERS = range(-(2**63), 2**63)  # what a database column and other languages can hold


def decode_json(kind: type[T], data: bytes | str, *, max_bytes: int) -> T:
    """Return the `kind` that the JSON text `data` holds.

    Raises `MessageError` when it is longer than `max_bytes`, is not JSON, is nested deeper than `MAX_DEPTH`, or is not a `kind`.
    """
    try:
        return decode(kind, parse_json(data, max_bytes=max_bytes))
    except InvalidInputError as error:
        raise MessageError(error.message, details=error.details) from None


def parse_json(data: bytes | str, *, max_bytes: int) -> Any:
    """Return the plain values of a JSON text in UTF-8, without keys that stand twice, NaN or infinity.

    Raises `MessageError` when it is longer than `max_bytes` or is not JSON.
    """
    size = len(data) if isinstance(data, bytes) else len(data.encode(errors="surrogatepass"))
    if size > max_bytes:
        raise MessageError(f"A message of {size} bytes exceeds the limit of {max_bytes}.")
    try:
        # Decoded here, because `json.loads` would take UTF-16, UTF-32 and encoded surrogates as well.
        text = data.decode() if isinstance(data, bytes) else data
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"A message is not valid JSON: {error}.") from None


def encode_json(value: object) -> bytes:
    """Return the compact JSON text of `value`, a dataclass or anything that `encode` takes.

    A lone surrogate (Python's way to hold a file name that is no UTF-8) becomes `?`. Raises `ValueError` for NaN and infinity.
    """
    return _ENCODER.encode(value).encode(errors="replace")


def encode(value: object) -> Any:
    """Return `value` as plain JSON values. Raises `TypeError` for what has no JSON form."""
    if value is None or isinstance(value, str | bool | int | float):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return encode(_simpler(value))


def _simpler(value: object) -> Any:
    """Return what JSON has no form for as something one step nearer to it; the parts are left as they are."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return members(value)
    raise TypeError(f"{type(value).__qualname__} has no JSON form")


def members(value: object) -> dict[str, Any]:
    """Return the fields of a dataclass by name, the values as they are.

    Those that came later (`is_later` in their metadata) are left out while they are None: so frames stay as older ends know them.
    """
    kind: type = type(value)
    return {
        name: member
        for name, is_later in _field_names(kind)
        if (member := getattr(value, name)) is not None or not is_later
    }


@functools.cache
def _field_names(kind: type) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, bool(field.metadata.get("is_later"))) for field in dataclasses.fields(kind))


# The library's own encoder, in C, asks only about what it does not know: four times as quick as to encode first.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_simpler)


def decode(kind: type[T], value: object) -> T:
    """Return the `kind` that the parsed JSON `value` describes.

    Raises `InvalidInputError` whose `details["fields"]` names the first field that does not fit and why.
    """
    return cast("T", _decode(kind, value, "", {}, 0))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an object names a key twice")
    return record


# Made once: `json.loads` makes one for each text when it is given hooks, which takes as long as reading a small one.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)


def as_integer(number: float) -> int | float:
    """Return a whole number as an integer, since JSON Schema and many languages tell 64.0 and 64 not apart.

    Beyond 2^53, where a float may stand for its neighbours as well, and with a fraction it stays what it is.
    """
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number


def printable(text: str, limit: int = 120) -> str:
    """Return a peer's `text` as it may stand in a message: cut, and without anything that steers a terminal."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode("ascii")


def _fail(path: str, message: str) -> InvalidInputError:
    shown = printable(path)  # the keys of a peer's mapping are part of it
    return InvalidInputError(
        f"{shown or 'the value'}: {message}.", details={"fields": [{"field": shown, "message": message}]}
    )


@functools.cache
def _fields_of(kind: type) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(kind))


def _decode(kind: Any, value: object, path: str, limits: Mapping[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _fail(path, f"is nested deeper than {MAX_DEPTH} levels")
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    origin = typing.get_origin(kind)
    if kind is Any:
        return _any(value, path, depth)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(kind), value, path, limits, depth)
    if origin is typing.Literal:
        return _one_of({choice: choice for choice in typing.get_args(kind)}, value, path)
    if origin is tuple:
        return _items(typing.get_args(kind), value, path, limits, depth)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(typing.get_args(kind), value, path, limits, depth)
    if dataclasses.is_dataclass(kind):
        return _record(cast("type", kind), value, path, depth)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _one_of({member.value: member for member in kind}, value, path)
    return _scalar(kind, value, path, limits)


def _one_of(choices: Mapping[Any, Any], value: object, path: str) -> Any:
    for choice, meant in choices.items():
        if type(choice) is type(value) and choice == value:  # 1, 1.0 and True are equal
            return meant
    raise _fail(path, f"must be one of {', '.join(map(repr, choices))}")


def _scalar(kind: Any, value: object, path: str, limits: Mapping[str, Any]) -> Any:
    if kind is str:
        if not isinstance(value, str):
            raise _fail(path, "must be a string")
        _check_length(value, path, limits, MAX_TEXT, "characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _fail(path, "must not hold a lone surrogate") from None
        pattern = limits.get("pattern")
        if pattern is not None and _compiled(pattern).search(value) is None:
            raise _fail(path, f"must match {pattern}")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise _fail(path, "must be true or false")
        return value
    if kind is int:
        value = as_integer(value) if isinstance(value, float) else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise _fail(path, "must be an integer")
        if value not in INTEGERS:
            raise _fail(path, "must fit 64 bits")
        _check_range(value, path, limits)
        return value
    if kind is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _fail(path, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            raise _fail(path, "must be a finite number") from None
        if not math.isfinite(number):
            raise _fail(path, "must be a finite number")
        _check_range(number, path, limits)
        return number
    if kind is types.NoneType:
        if value is not None:
            raise _fail(path, "must be null")
        return None
    raise TypeError(f"{kind!r} is not a type that the codec understands")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # A last `$` means the very end, as in JSON Schema and pydantic; Python's would let a newline follow.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _check_range(value: float, path: str, limits: Mapping[str, Any]) -> None:
    for name, holds, words in (
        ("ge", value >= limits.get("ge", value), "at least"),
        ("gt", "gt" not in limits or value > limits["gt"], "greater than"),
        ("le", value <= limits.get("le", value), "at most"),
        ("lt", "lt" not in limits or value < limits["lt"], "less than"),
    ):
        if not holds:
            raise _fail(path, f"must be {words} {limits[name]}")


def _check_length(value: Any, path: str, limits: Mapping[str, Any], default: int, unit: str) -> None:
    if len(value) < limits.get("min_length", 0):
        raise _fail(path, f"must have at least {limits['min_length']} {unit}")
    longest = limits.get("max_length", default)
    if len(value) > longest:
        raise _fail(path, f"must have at most {longest} {unit}")


def _items(arguments: tuple[Any, ...], value: object, path: str, limits: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(value, list):
        raise _fail(path, "must be an array")
    _check_length(value, path, limits, MAX_ITEMS, "items")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kinds: tuple[Any, ...] = (arguments[0],) * len(value)
    elif len(arguments) == len(value):
        kinds = arguments
    else:
        raise _fail(path, f"must have {len(arguments)} items")
    pairs = zip(kinds, value, strict=True)
    return tuple(_decode(kind, item, f"{path}[{index}]", {}, depth + 1) for index, (kind, item) in enumerate(pairs))


def _mapping(arguments: tuple[Any, ...], value: object, path: str, limits: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(value, dict):
        raise _fail(path, "must be an object")
    _check_length(value, path, limits, MAX_ITEMS, "entries")
    return {
        _scalar(str, key, path, {}): _decode(arguments[1], item, f"{path}.{key}" if path else key, {}, depth + 1)
        for key, item in value.items()
    }


def _record(kind: type, value: object, path: str, depth: int) -> Any:
    if not isinstance(value, dict):
        raise _fail(path, "must be an object")
    fields = _fields_of(kind)
    prefix = f"{path}." if path else ""
    unknown = value.keys() - {field.name for field, _ in fields}
    if unknown:
        raise _fail(f"{prefix}{min(unknown)}", "is not a known field")
    arguments = {}
    for field, hint in fields:
        if field.name in value:
            arguments[field.name] = _decode(hint, value[field.name], f"{prefix}{field.name}", field.metadata, depth + 1)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _fail(f"{prefix}{field.name}", "is missing")
    try:
        return kind(**arguments)
    except InvalidInputError as error:  # a `__post_init__` that checks how fields go together
        raise _fail(path, error.message.rstrip(".")) from None


def _union(kinds: tuple[Any, ...], value: object, path: str, limits: Mapping[str, Any], depth: int) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    failure: InvalidInputError | None = None
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return _decode(kind, value, path, limits, depth)
        except InvalidInputError as error:
            failure = failure or error
    raise failure or _fail(path, "has no type that fits")


def _any(value: object, path: str, depth: int) -> Any:
    if isinstance(value, list):
        _check_length(value, path, {}, MAX_ITEMS, "items")
        return tuple(_decode(Any, item, path, {}, depth + 1) for item in value)
    if isinstance(value, dict):
        _check_length(value, path, {}, MAX_ITEMS, "entries")
        return {_scalar(str, key, path, {}): _decode(Any, item, path, {}, depth + 1) for key, item in value.items()}
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return _scalar(type(value), value, path, {})
    return value
