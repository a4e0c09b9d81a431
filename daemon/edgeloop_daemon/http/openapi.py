"""The OpenAPI 3.1 document of the routes. Schemas come from the same types that validate and answer requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from edgeloop_daemon.http.routes import Route
from edgeloop_shared import __version__
from edgeloop_shared.errors import EdgeloopError

_REFERENCE = "#/components/schemas/{model}"


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
    definitions["Problem"] = _PROBLEM
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(prefix + _plain(route.path), {})[route.method.lower()] = _operation(route, by_key, definitions)
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
        },
    }


def _operation(route: Route, schemas: dict[tuple[str, str], Any], definitions: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", _plain(route.path))
    ]
    if route.query is not None:
        schema = _resolved(schemas[(route.name, "query")], definitions)
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": value}
            for name, value in schema["properties"].items()
        ]
    success: dict[str, Any] = {"description": _SUCCESSES.get(route.status, "Done.")}
    status = route.status
    if route.result is not None:
        success["content"] = {"application/json": {"schema": schemas[(route.name, "result")]}}
    elif route.media != "application/json":
        success["content"] = {route.media: {}}
    elif route.status == 200:
        status = 204
    if status == 202:
        success["headers"] = {"Location": {"schema": {"type": "string"}}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": {str(status): success, "default": _DEFAULT},
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[(route.name, "body")]}},
        }
    return operation


def _plain(path: str) -> str:
    """Return a path without the patterns of its parameters (`{name:.+}`), which only the server knows."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return definitions[reference.rpartition("/")[2]] if isinstance(reference, str) else schema


_SUCCESSES = {101: "The connection speaks WebSocket from now on.", 202: "Begun; `Location` names the work."}

_DEFAULT = {
    "description": "An error, as RFC 9457 problem details.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
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
