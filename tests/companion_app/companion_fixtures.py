"""A companion under test, in the test's own event loop; its workers are real processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from blockbuster import blockbuster_ctx

from edgeloop_companion.companion import Companion, running
from edgeloop_companion.device_info import device_info
from edgeloop_companion.events import Event, Listener
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import StateFolder

from .link_peer import LinkPeer

INFO = device_info("phone")


class Observer:
    """Remembers what a companion tells, and waits for more of it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._told = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._told.set()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]

    async def until(self, holds: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                self._told.clear()
                await self._told.wait()


async def allow(_: str) -> bool:
    return True


def pairing_with(peer: LinkPeer) -> Pairing:
    """Return a pairing that the peer knows, without the ceremony."""
    device_id, key = peer.register()
    return Pairing(device_id, key.hex(), peer.fingerprint.hex(), ("127.0.0.1",), peer.port, peer.host_name)


@contextlib.asynccontextmanager
async def companion_at(folder: Path, listener: Listener | None = None, **options: Any) -> AsyncIterator[Companion]:
    """Run a companion whose state lies in `folder`; `options` are those of `running`."""
    state_folder = await asyncio.to_thread(StateFolder, folder)
    with blockbuster_ctx("edgeloop_companion"):  # a call of the companion that blocks the event loop fails
        async with running(state_folder, INFO, listener or Observer(), **options) as companion:
            yield companion


@contextlib.asynccontextmanager
async def linked_companion(
    folder: Path, peer: LinkPeer, observer: Observer | None = None, **options: Any
) -> AsyncIterator[Companion]:
    """Run a companion that is paired with `peer` and linked to it."""
    async with companion_at(folder, observer, **options) as companion:
        companion.serve(pairing_with(peer))
        await peer.linked()
        yield companion
