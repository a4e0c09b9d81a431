"""Named tokens over the API: made, used, kept over a restart, revoked, and never stored as text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgeloop_daemon.events.event_log import open_event_log
from edgeloop_daemon.http.named_tokens import open_named_tokens
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.token_routes import token_routes
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_shared.errors import StorageFullError


@dataclass(frozen=True)
class Api:
    """The running API; every call names the token that it comes with."""

    base: str
    runtime_token: str
    database: Database
    streams: Streams
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.runtime_token}"}
        async with self.session.request(method, self.base + path, json=body, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None


Open = Callable[[], AbstractAsyncContextManager[Api]]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Return what a daemon does with its tokens from its start to its end."""

    @asynccontextmanager
    async def open_api() -> AsyncIterator[Api]:
        tokens, streams = Tokens(), Streams()
        runtime_token = tokens.issue("runtime file")
        async with (
            open_database(tmp_path / "edgeloop.db") as database,
            open_event_log(database),
            open_named_tokens(database, tokens, streams) as named,
            local_api(token_routes(named), tokens, 0, streams=streams) as port,
            aiohttp.ClientSession() as session,
        ):
            yield Api(f"http://127.0.0.1:{port}/api/v1", runtime_token, database, streams, session)

    return open_api


async def test_a_token_opens_the_api_until_it_is_revoked(opened: Open) -> None:
    async with opened() as api:
        status, made = await api.call("POST", "/tokens", {"name": "editor"})
        assert (status, made["name"]) == (201, "editor")
        status, listed = await api.call("GET", "/tokens", token=made["token"])
        assert status == 200
        assert [one["name"] for one in listed["items"]] == ["editor"]
        assert listed["items"][0]["last_used"] >= made["created_at"]
        assert made["token"] not in json.dumps(listed)
        async with api.streams.opened("editor") as stream:
            assert (await api.call("DELETE", "/tokens/editor"))[0] == 204
            assert stream.reason == "the token was revoked"
        assert (await api.call("GET", "/tokens", token=made["token"]))[0] == 401
        assert (await api.call("DELETE", "/tokens/editor"))[0] == 404


async def test_a_token_whose_revoking_cannot_be_stored_stays(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: object) -> None:
        raise StorageFullError("There is no room left.")

    async with opened() as api:
        _, made = await api.call("POST", "/tokens", {"name": "editor"})
        monkeypatch.setattr(api.database, "write", full)
        assert (await api.call("DELETE", "/tokens/editor"))[1]["code"] == "storage-full"
        monkeypatch.undo()
        assert [one["name"] for one in (await api.call("GET", "/tokens", token=made["token"]))[1]["items"]] == [
            "editor"
        ]
        assert (await api.call("DELETE", "/tokens/editor"))[0] == 204


async def test_tokens_outlive_the_daemon_and_the_one_of_the_runtime_file_does_not(opened: Open) -> None:
    async with opened() as api:
        _, made = await api.call("POST", "/tokens", {"name": "editor"})
        _, before = await api.call("GET", "/tokens", token=made["token"])
        old = api.runtime_token
    async with opened() as api:
        assert (await api.call("GET", "/tokens", token=old))[0] == 401
        assert (await api.call("GET", "/tokens"))[1] == before
        await api.call("DELETE", "/tokens/editor", token=made["token"])
    async with opened() as api:
        assert (await api.call("GET", "/tokens", token=made["token"]))[0] == 401


async def test_no_text_of_a_token_is_on_disk(opened: Open, tmp_path: Path) -> None:
    async with opened() as api:
        _, made = await api.call("POST", "/tokens", {"name": "editor"})
        await api.call("GET", "/tokens", token=made["token"])
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"editor" in stored
    assert made["token"].encode() not in stored
    assert made["token"].removeprefix("elp_").encode() not in stored


@pytest.mark.parametrize("name", ["", "runtime file", "-x", "a/b", "x" * 65, "\u00e9"])
async def test_a_name_is_plain(opened: Open, name: str) -> None:
    async with opened() as api:
        status, problem = await api.call("POST", "/tokens", {"name": name})
        assert (status, problem["code"]) == (422, "invalid-input")


async def test_a_name_stands_for_one_token(opened: Open) -> None:
    async with opened() as api:
        await api.call("POST", "/tokens", {"name": "editor"})
        status, problem = await api.call("POST", "/tokens", {"name": "editor"})
        assert (status, problem["code"]) == (409, "conflict")
        assert "revoke" in problem["hint"]


async def test_the_token_of_the_runtime_file_is_not_listed_and_cannot_be_revoked(opened: Open) -> None:
    async with opened() as api:
        assert (await api.call("GET", "/tokens"))[1]["items"] == []
        assert (await api.call("DELETE", "/tokens/runtime%20file"))[0] == 404
        assert (await api.call("GET", "/tokens"))[0] == 200


async def test_tokens_are_paged(opened: Open) -> None:
    async with opened() as api:
        for name in ("a", "b", "c"):
            await api.call("POST", "/tokens", {"name": name})
        _, first = await api.call("GET", "/tokens?limit=2")
        await api.call("DELETE", "/tokens/b")  # the page's last item: the next page begins behind it all the same
        _, second = await api.call("GET", f"/tokens?limit=2&cursor={first['next']}")
    assert [one["name"] for one in first["items"]] == ["a", "b"]
    assert ([one["name"] for one in second["items"]], second["next"]) == (["c"], None)


@pytest.mark.parametrize("cursor", ["", "x", "1.0", "1.0_", "1e5_a", "nan_a", "-1.0_a", "1.0_a/b", "1.0_a%00"])
async def test_a_cursor_that_is_none_is_refused(opened: Open, cursor: str) -> None:
    async with opened() as api:
        status, problem = await api.call("GET", f"/tokens?cursor={cursor}")
        assert (status, problem["details"]["fields"][0]["field"]) == (422, "cursor")
