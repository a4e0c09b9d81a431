"""The routes bound to aiohttp: paths, validation on the way in, JSON on the way out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from edgeloop_daemon.http.openapi import openapi_document
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.validation import validate_json, validate_query
from edgeloop_shared.codec import encode_json

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
            query=validate_query(query_adapter, request) if query_adapter else None,
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


def _json(value: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=encode_json(value), status=status, headers=headers, content_type="application/json")
