"""What the tests of events share: a database, the log in it, and the API that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blockbuster import blockbuster_ctx
from daemon.device_daemon import DeviceDaemon, device_daemon

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.events.event_log import EventLog, open_event_log, record_event
from edgeloop_daemon.events.kinds import Occurrence
from edgeloop_daemon.http.event_routes import event_routes
from edgeloop_daemon.http.job_routes import job_routes
from edgeloop_daemon.http.run_routes import run_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.jobs.jobs import Jobs, open_jobs
from edgeloop_daemon.store.database import Database, open_database

SECONDS = 30


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    with blockbuster_ctx("edgeloop_daemon"):
        async with open_database(tmp_path / "edgeloop.db") as opened:
            yield opened


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EventLog]:
    async with open_event_log(database) as opened:
        yield opened


async def record(database: Database, *occurrences: Occurrence, workspace: str | None = None) -> None:
    """Record events, each in a transaction of its own."""
    for occurrence in occurrences:
        await database.write(lambda db, one=occurrence: record_event(db, one, workspace))  # type: ignore[misc]


@dataclass(frozen=True)
class Api:
    """The API with everything that can be followed, and a client with a token."""

    daemon: DeviceDaemon
    log: EventLog
    jobs: Jobs
    streams: Streams
    tokens: Tokens
    token: str
    port: int
    session: aiohttp.ClientSession
    browser: aiohttp.ClientSession
    """A client that sends no `Authorization`."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self.session.get(self.base + path, params=query) as response:
            return response.status, await response.json()

    async def socket(self) -> Socket:
        """Open the WebSocket as a browser does, with the token as a subprotocol."""
        protocols = ("edgeloop.v1", f"bearer.{self.token}")
        return Socket(await self.browser.ws_connect(f"{self.base}/ws", protocols=protocols))


@dataclass(frozen=True)
class Socket:
    """A client's end of the WebSocket."""

    socket: aiohttp.ClientWebSocketResponse

    async def say(self, kind: str, name: str, **content: Any) -> None:
        await self.socket.send_json({"type": kind, "id": name, **content})

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json(timeout=SECONDS)
        return message

    async def ask(self, kind: str, name: str, **content: Any) -> dict[str, Any]:
        await self.say(kind, name, **content)
        return await self.hear()

    async def closed(self) -> int:
        """Return the code with which the server closes the socket."""
        async with asyncio.timeout(SECONDS):
            async for _ in self.socket:
                pass
        assert self.socket.close_code is not None
        return self.socket.close_code


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    streams, tokens = Streams(), Tokens()
    token = tokens.issue("test")
    async with (
        device_daemon(tmp_path) as daemon,
        open_event_log(daemon.database) as log,
        open_jobs(tmp_path / "jobs", daemon.database) as jobs,
    ):

        async def workspace(_: str) -> RunWorkspace:
            return daemon.workspace

        routes = (
            *event_routes(log, jobs, daemon.runs, streams),
            *job_routes(jobs, streams),
            *run_routes(daemon.runs, workspace, Breakpoints(daemon.database), streams),
        )
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            local_api(routes, tokens, 0, streams=streams) as port,
            aiohttp.ClientSession(headers=headers) as session,
            aiohttp.ClientSession() as browser,
        ):
            yield Api(daemon, log, jobs, streams, tokens, token, port, session, browser)
