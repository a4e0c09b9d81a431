"""What a route is: one declaration that the server, the validation and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiohttp import web

from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import EdgeloopError

T = TypeVar("T")
Remember = Callable[[Tables, str], None]
"""Called in the transaction that adds a job or a run, with its id."""


@dataclass(frozen=True)
class Call:
    """One request, already checked: the parameters of its path, its decoded body and its decoded query."""

    path: Mapping[str, str]
    body: Any
    query: Any
    request: web.Request
    begun: Remember | None = None
    """Called in the transaction that starts work, with the location of what it starts."""

    def begins(self, collection: str) -> Remember:
        """Return what is to be called with the id of the work below `collection` that this request starts."""

        def remember(db: Tables, name: str) -> None:
            if self.begun is not None:
                self.begun(db, f"{collection}/{name}")

        return remember


@dataclass(frozen=True)
class Accepted:
    """An answer 202: the work goes on as the resource at `location`."""

    location: str
    body: Any


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    `path` is relative to `/api/v1` with parameters in braces. `body` and `query` are frozen dataclasses (a query's fields
    are scalars with defaults). `handle` returns the `result` type, an `Accepted` of it (then `status` is 202), or a
    `web.StreamResponse` of its own (then `media` names the type and `result` is None). `errors` are those that this operation
    raises beyond what any operation may.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str
    summary: str
    handle: Callable[[Call], Awaitable[Any]]
    result: Any = None
    body: type | None = None
    query: type | None = None
    status: int = 200
    media: str = "application/json"
    tag: str = "daemon"
    errors: tuple[type[EdgeloopError], ...] = ()

    @property
    def answer_status(self) -> int:
        """The status of the answer when all goes well: 204 when there is nothing to say."""
        has_content = self.result is not None or self.method == "GET" or self.status != 200
        return self.status if has_content else 204
