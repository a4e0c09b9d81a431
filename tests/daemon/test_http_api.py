"""The local API's listener over real sockets: who is let in, and how requests and errors look."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import pytest
import pytest_asyncio
from openapi_spec_validator import validate

from edgeloop_daemon.http.api import MAX_BODY_BYTES
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_shared.errors import ConflictError, PortInUseError


@dataclass(frozen=True)
class Order:
    """What the test's route takes."""

    dish: Literal["soup", "cake"]
    count: int = field(default=1, metadata={"ge": 1, "le": 9, "description": "how many"})


@dataclass(frozen=True)
class Filter:
    """The query of the test's list."""

    limit: int = field(default=10, metadata={"ge": 1, "le": 100})
    hot: bool = False


@dataclass(frozen=True)
class Receipt:
    """What the test's route answers."""

    text: str


async def take_order(call: Call) -> Accepted:
    return Accepted("/orders/1", Receipt(f"{call.body.count} {call.body.dish}"))


async def list_orders(call: Call) -> Receipt:
    return Receipt(f"{call.query.limit} {call.query.hot}")


async def eat(call: Call) -> None:
    if call.path["order"] == "burnt":
        raise ConflictError("The soup is burnt.", hint="Order another one.", details={"dish": "soup"})
    if call.path["order"] == "cursed":
        raise RuntimeError("secret of the kitchen")


ROUTES = (
    Route("POST", "/orders", "take_order", "Order.", take_order, body=Order, result=Receipt, status=202),
    Route("GET", "/orders", "list_orders", "List.", list_orders, query=Filter, result=Receipt),
    Route("DELETE", "/orders/{order}", "eat", "Eat.", eat),
)


@dataclass(frozen=True)
class Api:
    """The running listener and a token that it accepts."""

    port: int
    token: str
    session: aiohttp.ClientSession

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else {}, dict(response.headers)


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    tokens = Tokens()
    token = tokens.issue("test")
    async with local_api(ROUTES, tokens, 0) as port, aiohttp.ClientSession() as session:
        yield Api(port, token, session)


async def test_a_request_with_the_token_is_answered(api: Api) -> None:
    status, body, headers = await api.request("POST", "/api/v1/orders", json={"dish": "soup", "count": 2})
    assert (status, body, headers["Location"]) == (202, {"text": "2 soup"}, "/api/v1/orders/1")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer \udcff"])
async def test_no_token_or_a_wrong_one_is_refused(api: Api, value: str | None) -> None:
    status, body, _ = await api.request("GET", "/api/v1/orders", headers={"Authorization": value})
    assert (status, body["code"]) == (401, "unauthorized")


async def test_an_unknown_path_tells_a_stranger_nothing(api: Api) -> None:
    assert (await api.request("GET", "/api/v1/nothing", headers={"Authorization": None}))[0] == 401
    assert (await api.request("GET", "/api/v1/nothing"))[0] == 404


FOREIGN_HOSTS = [
    "evil.example",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:1",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "0.0.0.0:{port}",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_another_host_name_is_misdirected(api: Api, host: str) -> None:
    status, body, _ = await api.request("GET", "/api/v1/orders", headers={"Host": host.format(port=api.port)})
    assert (status, body["code"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
async def test_the_names_of_this_machine_are_served(api: Api, host: str) -> None:
    assert (await api.request("GET", "/api/v1/orders", headers={"Host": host.format(port=api.port)}))[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost"]
)
async def test_a_foreign_origin_is_refused(api: Api, origin: str) -> None:
    status, body, _ = await api.request("GET", "/api/v1/orders", headers={"Origin": origin.format(port=api.port)})
    assert (status, body["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_requests_that_another_site_causes_are_refused(api: Api, site: str, status: int) -> None:
    assert (await api.request("GET", "/api/v1/orders", headers={"Sec-Fetch-Site": site}))[0] == status


async def test_two_host_headers_are_refused(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    request = f"GET /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nHost: evil\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"dish": "soup", "count": "2"}, "count"),
        ({"dish": "soup", "count": 10}, "count"),
        ({"dish": "pie"}, "dish"),
        ({"dish": "soup", "spoon": 1}, "spoon"),
        ({}, "dish"),
    ],
)
async def test_a_body_that_does_not_fit_names_the_field(api: Api, body: dict[str, Any], field: str) -> None:
    status, answer, headers = await api.request("POST", "/api/v1/orders", json=body)
    assert (status, answer["code"]) == (422, "invalid-input")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert field in [entry["field"] for entry in answer["details"]["fields"]]


async def test_a_query_is_checked_and_read(api: Api) -> None:
    assert (await api.request("GET", "/api/v1/orders?limit=3&hot=true"))[1] == {"text": "3 True"}
    for query in ("limit=0", "limit=x", "colour=red", "limit=1&limit=2"):
        assert (await api.request("GET", f"/api/v1/orders?{query}"))[0] == 422


async def test_an_error_is_a_problem_with_its_code_hint_and_details(api: Api) -> None:
    status, body, _ = await api.request("DELETE", "/api/v1/orders/burnt")
    assert status == 409
    assert body["type"] == "urn:edgeloop:error:conflict"
    assert (body["detail"], body["hint"], body["details"]) == (
        "The soup is burnt.",
        "Order another one.",
        {"dish": "soup"},
    )


async def test_a_bug_tells_nothing_of_itself(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    status, body, _ = await api.request("DELETE", "/api/v1/orders/cursed")
    assert (status, body["code"]) == (500, "internal-error")
    assert "secret" not in json.dumps(body)
    assert "secret of the kitchen" in caplog.text


async def test_another_method_is_named_as_such(api: Api) -> None:
    status, body, headers = await api.request("PUT", "/api/v1/orders")
    assert (status, body["code"]) == (405, "method-not-allowed")
    assert "POST" in headers["Allow"]


async def test_large_and_compressed_bodies_are_refused(api: Api) -> None:
    large = b'"' + b"a" * MAX_BODY_BYTES + b'"'
    status, body, _ = await api.request("POST", "/api/v1/orders", data=io.BytesIO(large))
    assert (status, body["code"]) == (413, "too-large")
    headers = {"Content-Encoding": "gzip"}
    assert (await api.request("POST", "/api/v1/orders", data=b"\x1f\x8b", headers=headers))[0] in (400, 422)


async def test_the_openapi_document_is_valid_and_describes_the_routes(api: Api) -> None:
    status, document, _ = await api.request("GET", "/api/v1/openapi.json")
    assert status == 200
    validate(document)
    assert document["openapi"] == "3.1.0"
    unreadable = document["components"]["responses"]["Problem400"]["content"]
    assert set(unreadable) == {"application/problem+json", "text/plain"}
    assert all("400" in operation["responses"] for item in document["paths"].values() for operation in item.values())
    order = document["components"]["schemas"]["Order"]["properties"]
    assert order["count"]["maximum"] == 9
    assert order["count"]["description"] == "how many"
    assert document["paths"]["/api/v1/orders/{order}"]["delete"]["operationId"] == "eat"


async def test_a_port_that_is_taken_is_named(api: Api) -> None:
    with pytest.raises(PortInUseError) as caught:
        async with local_api(ROUTES, Tokens(), api.port):
            pass
    assert str(api.port) in caught.value.message
    assert "--port" in caught.value.hint


def test_a_revoked_token_and_one_that_was_replaced_are_worthless() -> None:
    tokens = Tokens()
    first, second = tokens.issue("editor"), tokens.issue("editor")
    assert tokens.name_of(first) is None
    assert tokens.name_of(second) == "editor"
    tokens.revoke("editor")
    assert tokens.name_of(second) is None
