"""What tells the companion that a journal has grown: a hint only, for the journal itself is the truth."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from edgeloop_companion.runtime.guardian import URGENT

POLL_SECONDS = 0.25
POLL_WITHOUT_PIPE_SECONDS = 0.02


class Wake:
    """Listens at the pipe of a run's folder; without one, every wait ends soon by itself."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._seconds = POLL_SECONDS if descriptor is not None else POLL_WITHOUT_PIPE_SECONDS
        if descriptor is not None:
            asyncio.get_running_loop().add_reader(descriptor, self._listen)

    @classmethod
    async def open(cls, path: Path) -> Wake:
        """Return a listener at the pipe `path`, which may be missing."""

        def descriptor() -> int | None:
            try:
                # For both directions: so it does not end while the worker has not opened it, or no longer has it open.
                return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return None

        return cls(await asyncio.to_thread(descriptor))

    async def wait(self) -> None:
        """Wait for something new in the journal, but not for long."""
        await self._wait(self._some, self._seconds)
        self._some.clear()
        self._urgent.clear()

    async def gather(self, seconds: float) -> None:
        """Let output gather for so long, unless there is something urgent."""
        await self._wait(self._urgent, seconds)

    def close(self) -> None:
        """Stop listening."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def _listen(self) -> None:
        assert self._descriptor is not None
        with contextlib.suppress(BlockingIOError):
            if URGENT in os.read(self._descriptor, 4096):
                self._urgent.set()
        self._some.set()
