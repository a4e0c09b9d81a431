"""The real listener of the local API with a few routes of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.tokens import Tokens


@dataclass(frozen=True)
class Order:
    """What the route takes."""

    dish: Literal["soup", "cake"]


@dataclass(frozen=True)
class Receipt:
    """What it answers."""

    text: str = "done"


@dataclass
class SmallApi:
    """Where it listens, a token that it accepts, and how many requests reached a route."""

    port: int = 0
    token: str = ""
    reached: list[str] = field(default_factory=list)

    @property
    def head(self) -> bytes:
        """The headers of a request that is let in."""
        return f"Host: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n".encode()


@contextlib.asynccontextmanager
async def small_api() -> AsyncIterator[SmallApi]:
    api = SmallApi()

    async def take_order(call: Call) -> Accepted:
        api.reached.append("take_order")
        return Accepted("/orders/1", Receipt())

    async def list_orders(_: Call) -> Receipt:
        api.reached.append("list_orders")
        return Receipt()

    routes = (
        Route("POST", "/orders", "take_order", "Order.", take_order, body=Order, result=Receipt, status=202),
        Route("GET", "/orders", "list_orders", "List.", list_orders, result=Receipt),
    )
    tokens = Tokens()
    api.token = tokens.issue("test")
    async with local_api(routes, tokens, 0) as api.port:
        yield api
