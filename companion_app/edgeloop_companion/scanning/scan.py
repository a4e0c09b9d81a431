"""Scanning: the camera's frames are looked through in a thread, and those that come meanwhile are passed over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from edgeloop_companion.scanning.camera import Camera, NoCameraError
from edgeloop_companion.scanning.decoder import Decoder
from edgeloop_companion.scanning.frame import Frame

T = TypeVar("T")


async def scan(
    camera: Camera, decoder: Decoder, *, show: Callable[[Frame], None], take: Callable[[tuple[str, ...]], T | None]
) -> T:
    """Scan until `take` returns something of the texts in a frame, and return that. The camera is closed then.

    `show` is given every frame. Raises `NoCameraError` (also when the camera goes) and `CameraRefusedError`.
    """
    latest: Frame | None = None
    changed = asyncio.Event()

    async def watch() -> None:
        nonlocal latest
        async with contextlib.aclosing(camera.frames()) as frames:
            async for frame in frames:
                latest = frame
                changed.set()
                show(frame)
        raise NoCameraError("The camera has gone.")

    watching = asyncio.create_task(watch())
    watching.add_done_callback(lambda _: changed.set())
    try:
        while True:
            await changed.wait()
            changed.clear()
            if watching.done():
                await watching
            frame, latest = latest, None
            if frame is not None and (taken := take(await asyncio.to_thread(decoder.decode, frame))) is not None:
                return taken
    finally:
        watching.cancel()
        await asyncio.wait({watching})
