"""What the tests of jobs share: a database with workspaces, jobs in real processes, and gates that they wait at."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from daemon.jobs.job_handlers import REFERENCE, Work

from edgeloop_daemon.jobs.job import Job
from edgeloop_daemon.jobs.jobs import Jobs, open_jobs
from edgeloop_daemon.store.database import Database, open_database

TESTS = Path(__file__).parents[2]
Start = Callable[..., Awaitable[Job]]
OpenJobs = Callable[..., AbstractAsyncContextManager[Jobs]]


@dataclass(frozen=True)
class Gate:
    """A FIFO that a handler reads to the end: it stands there until the test lets it pass."""

    path: Path

    async def reached(self) -> int:
        """Return the writing end once the handler has come to the gate."""
        return await asyncio.to_thread(os.open, self.path, os.O_WRONLY)

    async def let_pass(self, word: str = "") -> None:
        """Wait until the handler has come, and let it pass."""
        descriptor = await self.reached()
        os.write(descriptor, word.encode())
        os.close(descriptor)


@pytest.fixture
def new_gate(tmp_path: Path) -> Callable[[], Gate]:
    def make() -> Gate:
        path = tmp_path / f"gate-{len(list(tmp_path.glob('gate-*')))}"
        os.mkfifo(path)
        return Gate(path)

    return make


@pytest.fixture
def gate(new_gate: Callable[[], Gate]) -> Gate:
    return new_gate()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "edgeloop.db") as database:
        rows = [{"id": name, "path": f"/{name}", "name": name, "opened_at": 0.0} for name in ("w1", "w2")]
        await database.write(lambda db: db.insert("workspaces", *rows))
        yield database


@pytest.fixture
def opened(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> OpenJobs:
    """Return what a daemon does with jobs from its start to its end; called again it is the next daemon."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))

    @asynccontextmanager
    async def open_them(*, limit: int | None = None) -> AsyncIterator[Jobs]:
        async with open_jobs(tmp_path / "jobs", database, limit=limit) as jobs:
            yield jobs

    return open_them


@pytest.fixture
async def jobs(opened: OpenJobs) -> AsyncIterator[Jobs]:
    async with opened() as jobs:
        yield jobs
        await jobs.stop_all()


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    with blockbuster_ctx("edgeloop_daemon") as watchdog:
        yield watchdog


@pytest.fixture
def start(workspace: Path) -> Start:
    async def start_job(jobs: Jobs, handler: str, *, of: str = "w1", at: Path | None = None, **work: object) -> Job:
        return await jobs.start(
            workspace=of,
            workspace_path=at or workspace,
            kind="tool",
            name=handler,
            handler=f"{REFERENCE}:{handler}",
            parameters=Work(**work),  # type: ignore[arg-type]
        )

    return start_job
