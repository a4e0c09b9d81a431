"""The screen *Device*, by touches."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from edgeloop_companion.runtime.storage import BlobStore

from .shown_app import ShownApp, shown_app


async def test_a_device_tells_what_it_is_and_what_mnn_can_do_on_it(phone: ShownApp) -> None:
    await phone.goes("device")
    for fact in ("Processor", "Memory", "not told by this platform", "Python"):
        await phone.reaches(fact)
    await phone.reaches("Backends")
    await phone.sees("cpu")


async def test_an_app_that_ends_while_mnn_is_asked_leaves_no_process(kivy_home: Path, tmp_path: Path) -> None:
    async with shown_app(kivy_home, tmp_path / "state") as phone:
        await phone.goes("device")
        await phone.until(lambda: bool(asked()), "MNN is not asked")
    assert asked() == []


async def test_an_app_has_ended_once_what_its_pages_had_begun_has(phone: ShownApp) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    phone.app.root.navigation.pages[0].begin(work())
    await begun.wait()
    phone.app.root.leave()
    ended = asyncio.create_task(phone.app.ended())
    await phone.frame()
    assert not ended.done()
    may_end.set()
    await ended


def asked() -> list[str]:
    """The processes below this one in which a module of ours runs that asks MNN."""
    children = "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    commands = [Path("/proc", child, "cmdline").read_text() for child in children if Path("/proc", child).exists()]
    return [command for command in commands if "edgeloop_task." in command]


async def test_storage_is_cleared_of_what_no_task_needs(kivy_home: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    blobs.path("model").write_bytes(bytes(2_500_000))
    os.utime(blobs.path("model"), (time.time() - 60, time.time() - 60))
    async with shown_app(kivy_home, tmp_path) as phone:
        await phone.goes("device")
        await phone.reaches("Clear")
        await phone.sees("2.5 MB")
        await phone.screenshot("device-storage")
        await phone.tap("Clear")
        await phone.sees("0 B")
    assert blobs.used_bytes() == 0
