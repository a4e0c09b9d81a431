"""Debug sessions over a real database, with tasks on this computer instead of a device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from daemon.debugging.local_tasks import LocalTasks
from dap_client import DapClient

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.editor import Editor
from edgeloop_daemon.debugging.session import DebugSession
from edgeloop_daemon.debugging.sessions import DebugSessions, open_debugging
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.store.database import Database, open_database


@dataclass(frozen=True)
class Desk:
    """A user at work: a workspace, its sessions, and any number of editors."""

    root: Path
    sessions: DebugSessions
    tasks: LocalTasks
    breakpoints: Breakpoints
    database: Database
    open_editor: Callable[..., DapClient]
    crash: Callable[[DapClient], Awaitable[None]]
    """Let an editor be gone without a goodbye."""

    def write(self, name: str, text: str) -> str:
        """Write a file of the workspace; return its path as an editor knows it."""
        (self.root / name).write_text(text)
        return str(self.root / name)

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the kinds and the data of the events of debugging so far."""
        import json

        sql = "select kind, data_json from events where kind like 'debug.%' order by cursor"
        rows = await self.database.read(lambda db: db.execute(sql).fetchall())
        return [(kind, json.loads(data)) for kind, data in rows]


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    root = tmp_path / "work"
    root.mkdir()
    workspace = RunWorkspace("w1", root)
    tasks = LocalTasks()

    async def find(folder: Path) -> RunWorkspace:
        return workspace

    async with open_database(tmp_path / "edgeloop.db") as database:
        await database.write(
            lambda db: db.execute(
                "insert into workspaces (id, path, name, opened_at) values ('w1', ?, 'work', 0)", [str(root)]
            )
        )
        clients: list[DapClient] = []
        editors: dict[DapClient, Editor] = {}
        breakpoints = Breakpoints(database)
        async with open_debugging(database, breakpoints, tasks, tasks, find) as sessions:

            def open_editor(session: DebugSession | None = None, folder: Path = root) -> DapClient:
                pieces: asyncio.Queue[bytes] = asyncio.Queue()
                editor = Editor(sessions, pieces.put_nowait, folder=str(folder), session=session)
                client = DapClient(editor.feed, pieces.get)
                clients.append(client)
                editors[client] = editor
                return client

            async def crash(client: DapClient) -> None:
                await editors[client].left()

            desk = Desk(root, sessions, tasks, breakpoints, database, open_editor, crash)
            try:
                yield desk
                for client in clients:
                    await client.close()
            finally:
                await tasks.close()
