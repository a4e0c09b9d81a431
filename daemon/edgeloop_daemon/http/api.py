"""The routes bound to aiohttp: paths, validation on the way in, JSON on the way out."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from edgeloop_daemon.http.guards import PREFIX, TOKEN_NAME
from edgeloop_daemon.http.idempotency import HEADER, IdempotencyKeys
from edgeloop_daemon.http.openapi import openapi_document
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.validation import validate_json, validate_query
from edgeloop_shared.codec import encode_json

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 20.0


def add_routes(application: web.Application, routes: Iterable[Route], keys: IdempotencyKeys | None = None) -> None:
    """Serve `routes` below `PREFIX`, and the OpenAPI document of them all. `keys` are those of requests that start work."""
    listed = tuple(routes)
    for route in listed:
        application.router.add_route(route.method, PREFIX + route.path, _bound(route, keys))
    document: bytes | None = None

    async def openapi(_: web.Request) -> web.Response:
        nonlocal document
        if document is None:  # not at the start, which somebody waits for
            document = await asyncio.to_thread(lambda: encode_json(openapi_document(listed, PREFIX)))
        return web.Response(body=document, content_type="application/json")

    application.router.add_get(f"{PREFIX}/openapi.json", openapi)


def _bound(route: Route, keys: IdempotencyKeys | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        raw = await _body(request) if route.body else b""
        call = Call(
            path=dict(request.match_info),
            body=validate_json(_adapter(route.body), raw) if route.body else None,
            query=validate_query(_adapter(route.query), request) if route.query else None,
            request=request,
        )
        key = request.headers.get(HEADER) if route.status == 202 else None
        result_adapter = _adapter(route.result) if route.result else None
        if key is None or keys is None:
            return _response(route, result_adapter, await route.handle(call))
        async with keys.attempt(request[TOKEN_NAME], key, request.path, raw) as attempt:
            answer = attempt.known or await route.handle(replace(call, begun=attempt.remember))
            return _response(route, result_adapter, answer)

    return handler


@functools.cache  # made when it is first needed: all of them together take as long as a third of the daemon's start
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _response(route: Route, adapter: TypeAdapter[Any] | None, answer: Any) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if isinstance(answer, Accepted):
        return _json(adapter, answer.body, 202, {"Location": PREFIX + answer.location})
    if answer is None:
        return web.Response(status=204)
    return _json(adapter, answer, route.status, {})


async def _body(request: web.Request) -> bytes:
    """Return the body of a request. Raises `HTTPRequestTimeout` when it takes too long to come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason=f"the body did not come within {BODY_SECONDS:g} s") from None


def _json(adapter: TypeAdapter[Any] | None, value: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=_text(adapter, value), status=status, headers=headers, content_type="application/json")


def _text(adapter: TypeAdapter[Any] | None, value: Any) -> bytes:
    """Return the JSON text of an answer: pydantic's is the same as the codec's and takes a quarter of the time."""
    if adapter is not None:
        try:
            return adapter.dump_json(value, warnings=False)
        except PydanticSerializationError:  # the codec knows what to do with lone surrogates
            pass
    return encode_json(value)
