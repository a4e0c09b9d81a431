"""The screen *Device*, by touches."""

from __future__ import annotations

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
