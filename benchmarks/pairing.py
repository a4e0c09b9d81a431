"""How long pairing takes: from the first frame that shows the code to a paired computer, and how long the code takes to be read.

A real daemon in a process of its own, and the companion's own store, scanner and device port in this one. The camera's frames are
1280 x 720, 30 a second, with noise and a code that is held askew; who is asked for permission allows it at once.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import segno
from daemon_parts import Daemon, device_info, running_daemon
from figures import Figure, publish, spread
from PIL import Image

from edgeloop_companion.companion import Companion, running
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder
from edgeloop_companion.store.event_feed import EventFeed
from edgeloop_companion.store.pairing_attempt import AskingPermission, Done, Failed, PairingAttempt, Step

ROUNDS = 20
BAR = 1.0
FRAME_SECONDS = 1 / 30
WIDTH, HEIGHT = 1280, 720
BLANK_FRAMES = 5


class Camera:
    """Shows noise, and after a few frames the code `text` in it. `shown_at` is when it was first shown."""

    has_torch = False

    def __init__(self, text: str) -> None:
        self._frames = [_frame("")] * BLANK_FRAMES + [_frame(text)]
        self.shown_at = 0.0

    def switch_torch(self, *, is_on: bool) -> None:
        """Do nothing."""

    async def frames(self) -> AsyncGenerator[Frame]:
        """Yield the frames, the last one again and again."""
        for frame in self._frames[:-1]:
            yield frame
            await asyncio.sleep(FRAME_SECONDS)
        self.shown_at = time.perf_counter()
        while True:
            yield self._frames[-1]
            await asyncio.sleep(FRAME_SECONDS)


def measure() -> list[Figure]:
    """Return all figures."""
    with running_daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        seconds = asyncio.run(_pair_often(daemon, Path(folder)))
    decoded = [_decoding_seconds() for _ in range(ROUNDS)]
    parts = {"reading_the_code_ms": 1000 * statistics.median(decoded), "slowest_s": max(seconds)}
    return [
        Figure(
            "first frame with the code to paired", statistics.median(seconds), BAR, "s", "less", spread(seconds), parts
        )
    ]


async def _pair_often(daemon: Daemon, folder: Path) -> list[float]:
    async with running(StateFolder(folder), device_info("phone"), EventFeed()) as companion:
        return [await _pair(daemon, companion) for _ in range(ROUNDS)]


async def _pair(daemon: Daemon, companion: Companion) -> float:
    window = await asyncio.to_thread(daemon.client.post, "/pairing", {})
    camera = await asyncio.to_thread(Camera, window["offer"])
    attempt = PairingAttempt(companion, camera, ZxingDecoder())
    ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def follow(step: Step) -> None:
        if isinstance(step, AskingPermission):
            attempt.answer(is_allowed=True)
        elif isinstance(step, Done):
            ended.set_result(time.perf_counter() - camera.shown_at)
        elif isinstance(step, Failed):
            ended.set_exception(AssertionError(f"{step.problem}: {step.details}"))

    attempt.step.watch(follow)
    attempt.scan()
    try:
        return await ended
    finally:
        await attempt.close()


def _decoding_seconds() -> float:
    frame = _frame("EDGELOOP://P1/40123/192.168.1.7/" + "A" * 52 + "/" + "B" * 26)
    begin = time.perf_counter()
    assert ZxingDecoder().decode(frame)
    return time.perf_counter() - begin


def _frame(text: str) -> Frame:
    """Return a noisy frame, with the QR code of `text` in it if there is one."""
    picture = Image.frombytes("L", (WIDTH, HEIGHT), random.randbytes(WIDTH * HEIGHT)).point(
        lambda value: 90 + value // 8
    )
    if text:
        rows = list(segno.make(text, error="m").matrix_iter(scale=8, border=4))
        code = Image.frombytes(
            "L", (len(rows), len(rows)), bytes(30 if module else 220 for row in rows for module in row)
        )
        picture.paste(code.rotate(8, expand=True, fillcolor=120), (400, 120))
    return Frame(WIDTH, HEIGHT, picture.tobytes())


if __name__ == "__main__":
    publish("pairing", measure)
