"""The OpenAPI 3.1 document of the routes. Schemas come from the same types that validate and answer requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.http.server_sent_events import MEDIA as EVENT_STREAM
from edgeloop_shared import __version__
from edgeloop_shared.errors import EdgeloopError

_REFERENCE = "#/components/schemas/{model}"
_ID = "[0-9a-z]{1,31}$"
_PATH_PATTERNS = {
    "device": f"^d{_ID}",
    "job": f"^j{_ID}",
    "run": f"^r{_ID}",
    "workspace": f"^w{_ID}",
    "breakpoint": f"^b{_ID}",
    "session": f"^s{_ID}",
    "stop": "^[0-9]+$",
    "token": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
}
_ANYWHERE = (400, 401, 403, 421, 422, 429, 500, 503)
"""What any request may be answered by the reader of HTTP, by the guards, and by a daemon that fails or stops."""
_WITH_BODY = (408, 413)


def openapi_document(routes: Sequence[Route], prefix: str) -> dict[str, Any]:
    """Return the document as plain JSON values; `prefix` is the path below which the routes are served."""
    wanted: list[tuple[tuple[str, str], JsonSchemaMode, TypeAdapter[Any]]] = []
    for route in routes:
        if route.body is not None:
            wanted.append(((route.name, "body"), "validation", TypeAdapter(route.body)))
        if route.query is not None:
            wanted.append(((route.name, "query"), "validation", TypeAdapter(route.query)))
        if route.result is not None:
            wanted.append(((route.name, "result"), "serialization", TypeAdapter(route.result)))
    schemas, shared = TypeAdapter.json_schemas(wanted, ref_template=_REFERENCE)
    by_key = {key: schema for (key, _), schema in schemas.items()}
    definitions = dict(shared.get("$defs", {}))
    for (_, part), schema in by_key.items():
        if part == "body":
            _close(schema, definitions)
    definitions["Problem"] = _PROBLEM
    paths: dict[str, dict[str, Any]] = {}
    statuses: set[int] = set()
    for route in routes:
        operation = _operation(route, by_key, definitions)
        paths.setdefault(prefix + plain_path(route.path), {})[route.method.lower()] = operation
        statuses.update(error_statuses(route))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgeloop",
            "version": __version__,
            "description": "The daemon's local API, for editors, the command line and the dashboard.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": "0"}}}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": definitions,
            "responses": {f"Problem{status}": _problem_response(status) for status in sorted(statuses)},
        },
    }


def error_statuses(route: Route) -> tuple[int, ...]:
    """Return the statuses of the errors that an operation may be answered with."""
    found = {*_ANYWHERE, *(error.http_status for error in route.errors)}
    if "{" in route.path or route.status == 202:
        found.add(404)
    if route.body is not None:
        found.update(_WITH_BODY)
    if route.status == 202:
        found.add(409)
    return tuple(sorted(found))


def plain_path(path: str) -> str:
    """Return a path without the patterns of its parameters (`{name:.+}`), which only the server knows."""
    pattern = r"(?:[^{}]|\{[^{}]*\})*"  # it may hold braces of its own: `[0-9]{1,9}`
    return re.sub(rf"\{{(\w+):{pattern}\}}", r"{\1}", path)


def _operation(route: Route, schemas: Mapping[tuple[str, str], Any], definitions: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        *(_path_parameter(name) for name in re.findall(r"\{(\w+)\}", plain_path(route.path))),
        *(_query_parameters(_resolved(schemas[(route.name, "query")], definitions)) if route.query else ()),
        *(_HEADERS["Idempotency-Key"] if route.status == 202 else ()),
        *(_HEADERS["Last-Event-ID"] if route.media == EVENT_STREAM else ()),
    ]
    errors = {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in error_statuses(route)}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": {**_success(route, schemas), **errors},
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = schemas[(route.name, "body")]
        operation["requestBody"] = {
            "required": bool(_resolved(schema, definitions).get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _success(route: Route, schemas: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": _SUCCESSES.get(route.answer_status, "Done.")}
    if route.result is not None:
        success["content"] = {"application/json": {"schema": schemas[(route.name, "result")]}}
    elif route.answer_status == 200:
        success["content"] = {route.media: {"schema": {"type": "string"}} if route.media == EVENT_STREAM else {}}
    if route.answer_status == 202:
        success["headers"] = {"Location": {"schema": {"type": "string"}}}
    return {str(route.answer_status): success}


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    if name in _PATH_PATTERNS:
        schema["pattern"] = _PATH_PATTERNS[name]
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": value}


def _close(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Say of a body's schema, and of those in it, what holds of bodies: an unknown field is an error."""
    if "$ref" in schema:
        _close(_resolved(schema, definitions), definitions)
    elif "properties" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
        for value in schema["properties"].values():
            _close(value, definitions)
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if isinstance(schema.get("items"), dict) else ())):
        _close(inner, definitions)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return definitions[reference.rpartition("/")[2]] if isinstance(reference, str) else schema


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}, as RFC 9457 problem details.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == 400:  # before anything of ours sees it
        response["description"] = (
            "The request is no HTTP that can be read: the line with the address, or a header, has more than 8190 bytes, say."
            " The answer is plain text, or problem details (RFC 9457)."
        )
        response["content"]["text/plain"] = {"schema": {"type": "string"}}
    elif status == 429:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    elif status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


_SUCCESSES = {101: "The connection speaks WebSocket from now on.", 202: "Begun; `Location` names the work."}

_HEADERS: Mapping[str, tuple[dict[str, Any]]] = {
    "Idempotency-Key": (
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key within 24 hours starts the work once.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
    ),
    "Last-Event-ID": (
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The `id` of the last event that was seen.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        },
    ),
}

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": f"A stable code, such as `{EdgeloopError.code}`."},
        "hint": {"type": "string"},
        "details": {"type": "object"},
    },
}
