"""What schemathesis loads: how its data are bent so that a fuzzed daemon neither waits nor writes outside of the test's folder."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

FOLDER = os.environ["EDGELOOP_FUZZ_FOLDER"]


@schemathesis.hook
def map_query(_: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Never wait for news: half a minute for each case that asks for it is not what is tested."""
    if query and isinstance(query.get("wait"), int | float):
        query["wait"] = min(query["wait"], 0)
    return query


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Create workspaces in the test's own folder only."""
    is_created = context.operation is not None and context.operation.path.endswith("/workspaces/new")
    if is_created and isinstance(body, dict) and isinstance(body.get("path"), str) and body["path"].startswith("/"):
        body["path"] = FOLDER + body["path"].replace("..", "__")
    return body
