"""The routes bound to aiohttp: paths, validation on the way in, JSON on the way out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from edgeloop_daemon.http.openapi import openapi_document
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_shared.codec import INTEGERS, encode_json
from edgeloop_shared.errors import InvalidInputError

PREFIX = "/api/v1"
MAX_BODY_BYTES = 1024 * 1024


def add_routes(application: web.Application, routes: Iterable[Route]) -> None:
    """Serve `routes` below `PREFIX`, and the OpenAPI document of them all."""
    listed = tuple(routes)
    for route in listed:
        application.router.add_route(route.method, PREFIX + route.path, _bound(route))
    document = encode_json(openapi_document(listed, PREFIX))

    async def openapi(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    application.router.add_get(f"{PREFIX}/openapi.json", openapi)


def _bound(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body_adapter: TypeAdapter[Any] | None = TypeAdapter(route.body) if route.body else None
    query_adapter: TypeAdapter[Any] | None = TypeAdapter(route.query) if route.query else None

    async def handler(request: web.Request) -> web.StreamResponse:
        call = Call(
            path=dict(request.match_info),
            body=validate_json(body_adapter, await request.read()) if body_adapter else None,
            query=_validate_query(query_adapter, request) if query_adapter else None,
            request=request,
        )
        answer = await route.handle(call)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, Accepted):
            headers = {"Location": PREFIX + answer.location}
            return _json(answer.body, 202, headers)
        if answer is None:
            return web.Response(status=204)
        return _json(answer, route.status, {})

    return handler


def validate_json(adapter: TypeAdapter[Any], body: bytes) -> Any:
    """Return what `adapter` reads from a JSON body, strictly. Raises `InvalidInputError` that names all failing fields."""
    try:
        value = adapter.validate_json(body or b"{}", strict=True, extra="forbid")
    except ValidationError as error:
        raise _invalid(error) from None
    for field, message in _unfit_numbers(value, ""):  # which pydantic takes, and the codec refuses
        details = {"fields": [{"field": field, "message": message}]}
        raise InvalidInputError(f"The request does not fit: {field or 'the body'}: {message}.", details=details)
    return value


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


def _validate_query(adapter: TypeAdapter[Any], request: web.Request) -> Any:
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


def _json(value: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=encode_json(value), status=status, headers=headers, content_type="application/json")
