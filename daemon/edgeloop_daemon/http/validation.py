"""What comes in, checked against the types that the routes declare: strictly, and with every failing field named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from edgeloop_shared.codec import INTEGERS, as_integer
from edgeloop_shared.errors import InvalidInputError

T = TypeVar("T")


def validate_json(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return what `adapter` reads from a JSON body, strictly. Raises `InvalidInputError` that names all failing fields."""
    try:
        value = _validated(adapter, body or b"{}")
    except ValidationError as error:
        raise _invalid(error) from None
    for field, message in _unfit_numbers(value, ""):  # which pydantic takes, and the codec refuses
        details = {"fields": [{"field": field, "message": message}]}
        raise InvalidInputError(f"The request does not fit: {field or 'the body'}: {message}.", details=details)
    return value


def _validated(adapter: TypeAdapter[T], body: bytes) -> T:
    try:
        return adapter.validate_json(body, strict=True, extra="forbid")
    except ValidationError as error:
        if all(item["type"] != "int_type" for item in error.errors(include_url=False, include_context=False)):
            raise
        try:  # perhaps it was only written as 64.0, which pydantic takes for no integer
            text = json.dumps(json.loads(body, parse_float=lambda number: as_integer(float(number))))
        except ValueError:  # an integer of thousands of digits
            raise error from None
        return adapter.validate_json(text, strict=True, extra="forbid")


def _unfit_numbers(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted name of every number in `value` that cannot travel on, and what is wrong with it."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, float) and not math.isfinite(value):
        yield field, "must be a finite number"
    elif isinstance(value, int) and value not in INTEGERS:
        yield field, "must fit 64 bits"
    elif dataclasses.is_dataclass(value):
        items = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for name, item in items:
        yield from _unfit_numbers(item, f"{field}.{name}" if field else str(name))


def validate_query(adapter: TypeAdapter[T], request: web.Request) -> T:
    """Return what `adapter` reads from a request's query. Raises `InvalidInputError` that names all failing fields."""
    if len(set(request.query)) != len(request.query):
        raise InvalidInputError("A query parameter stands twice.")
    try:
        return adapter.validate_strings(dict(request.query), extra="forbid")
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidInputError:
    fields = [
        {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    shown = "; ".join(f"{field['field'] or 'the body'}: {field['message']}" for field in fields[:5])
    return InvalidInputError(f"The request does not fit: {shown}.", details={"fields": fields[:100]})
