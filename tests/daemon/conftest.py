"""A daemon's side of devices with one phone that is paired, and linked where a test asks for that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, link


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        (running.workspace.root / "task.py").write_text("print(1)")
        yield running


@pytest_asyncio.fixture
async def phone(daemon: DeviceDaemon) -> Identity:
    return await daemon.pair()


@pytest_asyncio.fixture
async def linked(phone: Identity) -> AsyncIterator[Link]:
    async with link(phone) as live:
        yield live
