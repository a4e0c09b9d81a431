"""The reference of the local API as Markdown, made from the OpenAPI document that the daemon serves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
_PREFIX = "/api/v1"
_MAX_BOUND = 80  # a longer pattern tells a reader nothing
_ANYWHERE = {"400", "401", "403", "421", "422", "429", "500", "503"}


def api_reference(document: Mapping[str, Any]) -> str:
    """Return a section per operation, by tag, and one per type that they take or answer."""
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            text = _operation(f"{method.upper()} {path.removeprefix(_PREFIX)}", operation)
            by_tag.setdefault(operation["tags"][0], []).append(text)
    types = (_type_section(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    sections = [f"## Routes: {tag}\n\n" + "\n\n".join(texts) for tag, texts in by_tag.items()]
    return "\n\n".join([*sections, "## Types", *(text for text in types if text)])


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    parts = [f"### `{title}`", operation["summary"]]
    if parameters := operation.get("parameters"):
        rows = (
            (f"`{one['name']}`", one["in"], *_value(one["schema"], is_required=one["required"], says=one))
            for one in parameters
        )
        parts.append(_table(("parameter", "in", "type", "bounds", "default", "meaning"), rows))
    if body := operation.get("requestBody"):
        optional = "" if body["required"] else " (may be left out)"
        parts.append(f"Body{optional}: {_kind(body['content']['application/json']['schema'])}")
    parts.append("\n".join(f"- {line}" for line in _answers(operation["responses"])))
    return "\n\n".join(parts)


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    errors = []
    for status, response in responses.items():
        if "$ref" in response:
            if status not in _ANYWHERE:
                errors.append(status)
            continue
        content = response.get("content", {})
        shown = [
            _kind(one["schema"]) if media == "application/json" and one else f"`{media}`"
            for media, one in content.items()
        ]
        yield " ".join([f"**{status}**:", *(shown or [response["description"]])])
    if errors:
        yield f"errors: {', '.join(errors)}"


def _type_section(name: str, schema: Schema) -> str:
    says = str(schema.get("description", "")).strip()
    head = f"### `{name}`" + (f"\n\n{_plain(says)}" if says else "")
    if "enum" in schema:
        return f"{head}\n\n" + ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "properties" not in schema:
        return head
    required = schema.get("required", ())
    rows = (
        (f"`{field}`", *_value(value, is_required=field in required, says=value))
        for field, value in schema["properties"].items()
    )
    return f"{head}\n\n" + _table(("field", "type", "bounds", "default", "meaning"), rows)


def _value(schema: Schema, *, is_required: bool, says: Mapping[str, Any]) -> tuple[str, str, str, str]:
    default = "" if is_required or "default" not in schema else f"`{json.dumps(schema['default'])}`"
    meaning = says.get("description") or schema.get("description", "")
    return _kind(schema), _bounds(schema), default, _plain(" ".join(str(meaning).split()))


def _kind(schema: Schema) -> str:
    """Return how a value looks as JSON."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"array of {_kind(schema['items'])}" if schema.get("items") else "array"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_kind(inner)}" if isinstance(inner, Mapping) else "object"
        case None:
            return "any value"
        case kind:
            return str(kind)


def _bounds(schema: Schema) -> str:
    found = []
    for one in (schema, *schema.get("anyOf", ())):
        for name, words in _WORDS:
            if name in one:
                value = one[name]
                shown = value if isinstance(value, str) else "2^63" if value == 2**63 else f"{value:,}"
                if len(shown) <= _MAX_BOUND:
                    found.append(words.format(shown))
    return _plain(", ".join(found))


_WORDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "`{}`"),
)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table without the columns that are empty in every row."""
    listed = [tuple(row) for row in rows]
    kept = [index for index in range(len(header)) if any(row[index] for row in listed)]
    lines = [header, ["---"] * len(header), *listed]
    return "\n".join(f"| {' | '.join(line[index] for index in kept)} |" for line in lines)


def _plain(text: str) -> str:
    return text.replace("|", "\\|")
