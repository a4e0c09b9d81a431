"""The computers that this device is paired with, as their user sees them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgeloop_companion.companion import Companion
from edgeloop_companion.events import Event, Paired, Unpaired
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.store.event_feed import EventFeed
from edgeloop_companion.store.observable import Observable
from edgeloop_companion.store.revoked_computers import RevokedComputer, load_revoked, revoked, save_revoked
from edgeloop_shared.addresses import show_address
from edgeloop_shared.errors import EdgeloopError, StorageError

NEARBY_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Computer:
    """One computer; `device_id` is the identity that this device has there.

    `address` is where it is linked, else where it was last. While it is away, `reason` says in English why the last attempt
    failed or the link ended, `reason_kind` is the `LinkEnd.kind` of that, and `next_attempt` tells when the next one is due
    (monotonic seconds; None: it is dialled now).
    `knocked_at` is when it knocked last (monotonic seconds, or None), `last_seen` when there was a link (seconds since the
    UNIX epoch). One that is `revoked` has unpaired this device.
    """

    device_id: str
    name: str
    state: Literal["linked", "away", "off", "revoked"]
    address: str
    last_seen: float | None
    reason: str = ""
    reason_kind: str = ""
    next_attempt: float | None = None
    knocked_at: float | None = None
    run_count: int = 0
    is_changing: bool = False
    """It is switched or forgotten just now."""

    def is_nearby(self, now: float | None = None) -> bool:
        """Return whether it has knocked within `NEARBY_SECONDS`: it is in this network, though there is no link."""
        if self.knocked_at is None or self.state == "linked":
            return False
        return (time.monotonic() if now is None else now) - self.knocked_at < NEARBY_SECONDS

    def wait_seconds(self, now: float | None = None) -> int:
        """Return the whole seconds until it is dialled again, 0 when it is dialled now."""
        if self.next_attempt is None:
            return 0
        return max(0, math.ceil(self.next_attempt - (time.monotonic() if now is None else now)))


class Computers:
    """All computers, the first paired one first; those that have unpaired this device last, until they are dismissed.

    What is asked for happens in the background; `problem` tells what could not be done. `opened_computers` makes one.
    """

    def __init__(
        self, companion: Companion, feed: EventFeed, path: Path, revoked_ones: Iterable[RevokedComputer]
    ) -> None:
        self._companion = companion
        self._path = path
        self._known: dict[str, Pairing] = {}
        self._revoked = {one.device_id: one for one in revoked_ones}
        self._saving: asyncio.Task[None] | None = None
        self._changing: dict[str, asyncio.Task[None]] = {}
        self.computers = Observable[tuple[Computer, ...]](())
        self.problem = Observable[EdgeloopError | None](None)
        self._dismiss_paired()
        self._refresh()
        self._stop = feed.listen(self._hear)

    def switch(self, device_id: str, *, is_on: bool) -> None:
        """Stay linked to a computer from now on, or do not: its runs here are cancelled then."""
        self._change(device_id, self._companion.switch(device_id, is_on=is_on))

    def forget(self, device_id: str) -> None:
        """Unpair from a computer; its runs here are cancelled. One that has unpaired this device is not shown any more."""
        if self._revoked.pop(device_id, None) is not None:
            self._save()
            self._refresh()
        else:
            self._change(device_id, self._companion.forget(device_id))

    async def close(self) -> None:
        """Listen no more, and finish what was begun."""
        self._stop()
        if begun := {*self._changing.values(), *filter(None, [self._saving])}:
            await asyncio.wait(begun)

    def _change(self, device_id: str, change: Coroutine[None, None, None]) -> None:
        if device_id in self._changing:
            change.close()  # one at a time: the screen shows that it is at work
            return

        async def run() -> None:
            try:
                await change
            except EdgeloopError as error:
                self.problem.set(error)
            except OSError as error:
                self.problem.set(StorageError(f"It cannot be kept: {error.strerror}.", hint="Free some storage."))
            else:
                self.problem.set(None)

        task = self._changing[device_id] = asyncio.create_task(run(), name=f"change of computer {device_id}")

        def finished(_: asyncio.Task[None]) -> None:
            del self._changing[device_id]
            self._refresh()

        task.add_done_callback(finished)
        self._refresh()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Unpaired) and event.device_id in self._known:
            self._revoked[event.device_id] = revoked(self._known[event.device_id])
            self._save()
        elif isinstance(event, Paired):
            self._dismiss_paired()
        self._refresh()

    def _dismiss_paired(self) -> None:
        """Show those as revoked no more that are paired again."""
        paired = {pairing.fingerprint for pairing in self._companion.pairings}
        left = {key: one for key, one in self._revoked.items() if one.fingerprint not in paired}
        if left != self._revoked:
            self._revoked = left
            self._save()

    def _save(self) -> None:
        """Write, behind what is written now, which computers are shown as revoked."""
        before, computers = self._saving, tuple(self._revoked.values())

        async def save() -> None:
            if before is not None:
                await asyncio.wait({before})
            try:
                await asyncio.to_thread(save_revoked, self._path, computers)
            except OSError as error:
                log.warning("who has unpaired this device is not kept: %s", error)

        self._saving = asyncio.create_task(save(), name="revoked computers")

    def _refresh(self) -> None:
        pairings = [pairing for pairing in self._companion.pairings if pairing.device_id not in self._revoked]
        self._known = {pairing.device_id: pairing for pairing in pairings}
        gone = self._revoked.values()
        self.computers.set(
            (
                *(self._computer(pairing) for pairing in pairings),
                *(Computer(one.device_id, one.name, "revoked", one.address, one.last_seen) for one in gone),
            )
        )

    def _computer(self, pairing: Pairing) -> Computer:
        host = self._companion.host(pairing)
        is_changing = pairing.device_id in self._changing
        if host is None:
            return replace(_resting(pairing), is_changing=is_changing)
        return Computer(
            device_id=pairing.device_id,
            name=host.pairing.host_name,
            state="away" if host.address is None else "linked",
            address=_address(host.pairing, host.address),
            last_seen=host.pairing.last_seen,
            reason=host.failure,
            reason_kind=host.failure_kind,
            next_attempt=host.next_attempt,
            knocked_at=host.knocked_at if math.isfinite(host.knocked_at) else None,
            run_count=host.run_count,
            is_changing=is_changing,
        )


@contextlib.asynccontextmanager
async def opened_computers(companion: Companion, feed: EventFeed, path: Path) -> AsyncIterator[Computers]:
    """Follow the companion's computers for the block; the file at `path` keeps those that have unpaired this device."""
    computers = Computers(companion, feed, path, await asyncio.to_thread(load_revoked, path))
    try:
        yield computers
    finally:
        await computers.close()


def _resting(pairing: Pairing) -> Computer:
    return Computer(pairing.device_id, pairing.host_name, "off", _address(pairing), pairing.last_seen)


def _address(pairing: Pairing, host: str | None = None) -> str:
    return show_address(host or pairing.addresses[0], pairing.port)
