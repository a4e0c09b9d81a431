"""Requests that start work, sent twice: the work is started once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import link

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.http.idempotency import KEEP_SECONDS, IdempotencyKeys
from edgeloop_daemon.http.run_routes import run_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens

RUN = {"script": "task.py"}


@dataclass(frozen=True)
class Api:
    """The API and two tokens."""

    daemon: DeviceDaemon
    base: str
    tokens: tuple[str, str]
    session: aiohttp.ClientSession

    async def post(self, key: str | None, body: Any = RUN, *, token: int = 0) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.tokens[token]}"} | ({"Idempotency-Key": key} if key else {})
        url = f"{self.base}/workspaces/w1/runs"
        async with self.session.post(url, json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status != 202 or response.headers["Location"] == f"/api/v1/runs/{answer['id']}"
            return response.status, answer

    async def runs(self) -> int:
        return len(await self.daemon.runs.list())


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    tokens = Tokens()
    issued = tokens.issue("one"), tokens.issue("two")
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()

        async def workspace(_: str) -> RunWorkspace:
            return daemon.workspace

        async def find(location: str) -> Any:
            return await daemon.runs.get(location.removeprefix("/runs/"))

        routes = run_routes(daemon.runs, workspace, Breakpoints(daemon.database), Streams())
        keys = IdempotencyKeys(daemon.database, find)
        async with (
            local_api(routes, tokens, 0, keys=keys) as port,
            aiohttp.ClientSession() as session,
            link(await daemon.pair()),
        ):
            yield Api(daemon, f"http://127.0.0.1:{port}/api/v1", issued, session)


async def test_the_same_key_starts_a_run_once(api: Api) -> None:
    status, first = await api.post("k1")
    again, second = await api.post("k1")
    assert (status, again) == (202, 202)
    assert first["id"] == second["id"]
    assert await api.runs() == 1


async def test_requests_that_come_together_start_a_run_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.post("k1") for _ in range(10)))
    assert len({answer["id"] for _, answer in answers}) == 1
    assert await api.runs() == 1


async def test_without_a_key_and_with_different_ones_each_request_starts_a_run(api: Api) -> None:
    ids = {(await api.post(key))[1]["id"] for key in (None, None, "k1", "k2")}
    assert len(ids) == await api.runs() == 4


async def test_a_key_of_another_token_is_another_key(api: Api) -> None:
    await api.post("k1")
    await api.post("k1", token=1)
    assert await api.runs() == 2


async def test_a_key_with_another_request_is_refused(api: Api) -> None:
    await api.post("k1")
    status, problem = await api.post("k1", {**RUN, "trace": True})
    assert (status, problem["code"]) == (409, "key-reused")
    assert await api.runs() == 1


async def test_a_request_that_failed_leaves_its_key_free(api: Api) -> None:
    assert (await api.post("k1", {"script": "missing.py"}))[0] == 404
    assert (await api.post("k1"))[0] == 202


@pytest.mark.parametrize("key", ["two words", "x" * 256, "\u00e9"])
async def test_a_key_is_visible_ascii(api: Api, key: str) -> None:
    status, problem = await api.post(key)
    assert (status, problem["code"]) == (422, "invalid-input")
    assert await api.runs() == 0


async def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    await api.post("k1")
    sql = "update idempotency_keys set created_at = created_at - ?"
    await api.daemon.database.write(lambda db: db.execute(sql, [KEEP_SECONDS + 1]))
    await api.post("k1")
    assert await api.runs() == 2
    kept = await api.daemon.database.read(lambda db: db.execute("select count(*) from idempotency_keys").fetchone()[0])
    assert kept == 1


async def test_the_key_and_the_run_are_stored_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    failing: Callable[..., None] = lambda *_: (_ for _ in ()).throw(RuntimeError("the disk is full"))  # noqa: E731
    monkeypatch.setattr("edgeloop_daemon.http.idempotency.Attempt.remember", failing)
    assert (await api.post("k1"))[0] == 500
    assert await api.runs() == 0
