"""Limits of the local API: how often, how much, how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from edgeloop_daemon.http import api as http_api
from edgeloop_daemon.http.rates import WRONG_TOKEN_BURST, Bucket, Rates
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.tokens import Tokens

SECONDS = 30


@dataclass(frozen=True)
class Text:
    text: str = ""


async def echo(call: Call) -> Text:
    return Text(call.body.text if call.body else "")


ROUTES = (
    Route("GET", "/echo", "get_echo", "Answer.", echo, result=Text),
    Route("POST", "/echo", "post_echo", "Answer.", echo, result=Text, body=Text),
)


@dataclass(frozen=True)
class Api:
    port: int
    token: str
    session: aiohttp.ClientSession

    async def get(self, token: str | None = None) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        async with self.session.get(f"http://127.0.0.1:{self.port}/api/v1/echo", headers=headers) as response:
            await response.read()
            return response.status, response.headers.get("Retry-After")

    async def send(self, head: str, body: bytes = b"") -> bytes:
        """Send a request as it is, and return the answer's first line, or nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        text = f"{head} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
        writer.write(text.encode() + body)
        async with asyncio.timeout(SECONDS):
            line = await reader.readline()
        writer.close()
        return line


@asynccontextmanager
async def served(rates: Rates | None = None) -> AsyncIterator[Api]:
    tokens = Tokens()
    token = tokens.issue("test")
    async with local_api(ROUTES, tokens, 0, rates=rates) as port, aiohttp.ClientSession() as session:
        yield Api(port, token, session)


async def test_a_token_that_asks_too_often_is_told_when_to_come_back() -> None:
    async with served(Rates(requests=0.5, burst=3)) as api:
        answers = [await api.get() for _ in range(4)]
    assert answers[:3] == [(200, None)] * 3
    assert answers[3][0] == 429
    assert answers[3][1] in ("1", "2")


async def test_an_editor_is_never_slowed_down() -> None:
    async with served() as api:
        answers = await asyncio.gather(*(api.get() for _ in range(500)))
    assert {status for status, _ in answers} == {200}


async def test_whoever_tries_many_tokens_is_limited_and_nobody_else() -> None:
    async with served() as api:
        answers: list[tuple[int, str | None]] = []
        while all(
            status == 401 for status, _ in answers
        ):  # many at once: a slow computer gives the tries back meanwhile
            answers += await asyncio.gather(*(api.get("wrong") for _ in range(20)))
        assert (await api.get())[0] == 200
    assert answers.count((401, None)) >= WRONG_TOKEN_BURST
    assert set(answers) == {(401, None), (429, "1")}


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "BODY_SECONDS", 0.1)
    async with served() as api:
        assert b" 408 " in await api.send("POST /api/v1/echo", b"Content-Length: 10\r\n\r\n{")
        assert (await api.get())[0] == 200


@pytest.mark.parametrize(
    "excess", [b"X-Long: " + b"a" * 10_000, b"\r\n".join(b"X-%d: a" % number for number in range(1000))]
)
async def test_headers_are_bounded(excess: bytes) -> None:
    async with served() as api:
        assert b" 400 " in await api.send("GET /api/v1/echo", excess + b"\r\n\r\n")
        assert b" 400 " in await api.send("GET /api/v1/echo?" + "a" * 10_000, b"\r\n")


def test_a_bucket_fills_again() -> None:
    now = 0.0
    bucket = Bucket(2.0, 2.0, lambda: now)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]
    now = 0.5
    assert bucket.take() == 0
    assert bucket.take() == 0.5
    now = 100.0
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]
