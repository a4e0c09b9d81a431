"""One paired daemon: its link for as long as it is paired, its outbox and its runs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

import aiohttp

from edgeloop_companion.events import Linked, LinkLost, Listener, RunChanged
from edgeloop_companion.link.blobs import BlobClient, Transfers
from edgeloop_companion.link.channels import Channels
from edgeloop_companion.link.connection import CLOSE_LOST, CLOSE_REPLACED, CLOSE_REVOKED, Link, LinkEnd, open_link
from edgeloop_companion.link.device_port import device_port
from edgeloop_companion.link.dialling import FailedAttempts
from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.reconnect import SETTLED_SECONDS, Reconnect
from edgeloop_companion.runtime.guardian import TERMINATE_SECONDS
from edgeloop_companion.runtime.memory import default_limit
from edgeloop_companion.runtime.observing import ObserveRun
from edgeloop_companion.runtime.runs import Runs
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.tasks import TaskLimits
from edgeloop_companion.runtime.workers import Workers
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import CertificateMismatchError, DaemonUnreachableError, EdgeloopError, NotPairedError
from edgeloop_shared.messages import Hello, RunTask
from edgeloop_shared.models import DeviceInfo, RunState
from edgeloop_shared.network_reports import AdvertisingState, NetworkReport
from edgeloop_shared.pairing import MAX_ADDRESSES

BLOB_CONNECTIONS = 6
GOODBYE_SECONDS = 2.0

log = logging.getLogger(__name__)


class Host:
    """Stays linked to one daemon and works for it. Its runs go on while the link is down.

    `advertised` returns whether this device announces itself. `keep` stores the pairing as it is now: where the daemon is, and
    when it was there. `state` returns what the daemon is told of this device.
    """

    def __init__(
        self,
        pairing: Pairing,
        info: DeviceInfo,
        state_folder: StateFolder,
        workers: Workers,
        listener: Listener,
        *,
        advertised: Callable[[], AdvertisingState],
        keep: Callable[[Pairing], Coroutine[None, None, None]],
        state: Callable[[], DeviceState],
        heartbeat_seconds: float,
        observe: ObserveRun | None = None,
    ) -> None:
        self.pairing = pairing
        self._advertised = advertised
        self._keep = keep
        self._state = state
        self._heartbeat_seconds = heartbeat_seconds
        self._info = info
        self._listener = listener
        self.folder = state_folder.host(pairing.device_id)
        self._outbox = Outbox(self.folder)
        self._transfers = Transfers(state_folder.blobs, pairing.device_id)
        limits = TaskLimits(state_folder.lock, default_limit(info.memory_bytes))
        self._runs = Runs(
            self.folder,
            self._outbox,
            self._transfers,
            workers,
            limits,
            self._compare_clocks,
            self._run_changed,
            observe,
        )
        self._channels = Channels(self._runs, self._outbox.ready.set)
        self._link: Link | None = None
        self.address: str | None = None
        """Where the link goes, None before both sides know what the other holds."""
        self._closing = asyncio.Event()
        self.linked_at = -math.inf
        """When it was linked last, by the monotonic clock; minus infinity before."""
        self.failure = ""
        """Why there is no link, in words; empty while there is one, and before the first attempt."""
        self.failure_kind = ""
        """The same as `LinkEnd.kind`."""
        self.next_attempt: float | None = None
        """When it is dialled again, by the monotonic clock; None while it is dialled or linked."""
        self.knocked_at = -math.inf
        """When it knocked last, by the monotonic clock: it was in the same network then."""
        self.was_knocked = False
        """Whether the last link came of the daemon's knock: it has seen this device announced."""
        self._failed = FailedAttempts()
        self._knocked = asyncio.Event()
        self._knocker: tuple[str, int] | None = None
        self._dialling: asyncio.Timeout | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def is_linked(self) -> bool:
        """Whether the link is up."""
        return self._link is not None

    @property
    def run_count(self) -> int:
        """How many of its runs are at work here, or wait for a worker."""
        return self._runs.count

    def runs_at_work(self) -> tuple[tuple[RunTask, RunState], ...]:
        """Return its runs that are at work here or wait, and where each is."""
        return self._runs.at_work()

    async def stop_run(self, run_id: str) -> None:
        """End one of its runs because this device's user wants that, and wait for its end. Raises `NotFoundError`."""
        await self._runs.stop(run_id)

    def oldest_run(self) -> float:
        """Return when the oldest of these runs came here, seconds of the epoch; infinity without any. Blocks."""
        return self._runs.oldest()

    def rename(self, name: str) -> None:
        """Call this device `name` from the next link on."""
        self._info = replace(self._info, name=name)

    async def serve(self) -> str:
        """Link, work and link again, until the daemon unpairs this device; return its words for that.

        It also returns after `close`.
        """
        await asyncio.to_thread(self.folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._outbox.load)
        await self._runs.open()
        reconnect = Reconnect()
        while True:
            end, lived = await self._serve_once()
            if self._closing.is_set() or end.code == CLOSE_REVOKED:
                return end.reason
            delay = reconnect.yield_to_another() if end.code == CLOSE_REPLACED else reconnect.delay(lived)
            self.failure, self.failure_kind, self.next_attempt = end.reason, end.kind, time.monotonic() + delay
            self._listener(LinkLost(self.pairing.host_name, self.pairing.device_id, end.reason, round(delay, 3)))
            await self._pause(delay)
            self.next_attempt = None

    def knock(self, address: str, port: int) -> None:
        """Dial the daemon there now: it has said that it is there and has no link with this device.

        A link that has just begun was already on its way; an older one is dead, and only this side does not know.
        """
        self.knocked_at = time.monotonic()
        if self._link is not None:
            if time.monotonic() - self.linked_at < SETTLED_SECONDS:
                return
            self._link.abort()
        self._knocker = address, port
        self._knocked.set()
        if self._dialling is not None:
            self._dialling.reschedule(0)

    def moved(self, addresses: frozenset[str]) -> None:
        """Dial again now, if this device has no longer the address from which it is linked, or is not linked."""
        if self._link is None:
            self._knocked.set()
        elif self._link.own_address not in addresses and not ipaddress.ip_address(self._link.own_address).is_loopback:
            self._link.abort()

    def doubt(self) -> None:
        """Ask the daemon whether the link lives, or dial now if there is none."""
        if self._link is None:
            self._knocked.set()
        else:
            self._link.doubt()

    def tell_state(self) -> None:
        """Tell the daemon this device's state."""
        if self._link is not None:
            self._link.tell_state(self._state())

    def use_less_memory(self) -> None:
        """Keep on disk alone what waits for the daemon."""
        self._outbox.uncache()

    async def close(self, *, unpair: bool = False) -> bool:
        """Cancel the runs, give the daemon a moment to store how they ended, and say goodbye.

        With `unpair` the goodbye is that this device gives up its pairing; return whether it was heard.
        """
        self._closing.set()
        await self._channels.close()
        await self._runs.close(patience=TERMINATE_SECONDS + GOODBYE_SECONDS)
        is_heard = False
        if (link := self._link) is not None:
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._outbox.drained()
                    if not unpair:
                        await link.close()
            except TimeoutError:
                pass  # the rest stays on the disk until the next time
            if unpair:
                is_heard = await link.unpair(self.pairing.device_id)
        await self._runs.settled()
        await self._unlinked()
        return is_heard

    async def _serve_once(self) -> tuple[LinkEnd, float]:
        """Link once and stay until the link ends; return why it did and for how many seconds it lived."""
        begun = math.inf
        try:
            async with AsyncExitStack() as stack:
                self._link = await self._dial(stack)
                begun = time.monotonic()
                end = await self._work_over(self._link)
        except NotPairedError as error:
            end = LinkEnd(CLOSE_REVOKED, error.message, error.code)
        except EdgeloopError as error:
            end = LinkEnd(CLOSE_LOST, error.message, error.code)
        except (aiohttp.ClientError, ConnectionError) as error:
            end = LinkEnd(CLOSE_LOST, f"the connection was lost: {error}")
        except Exception as error:
            # The device must stay reachable whatever a daemon makes of it.
            log.exception("link to %s", self.pairing.host_name)
            end = LinkEnd(CLOSE_LOST, f"a fault in edgeloop: {type(error).__name__}: {error}", EdgeloopError.code)
        finally:
            self._link = None
            await self._unlinked()
        return end, max(0.0, time.monotonic() - begun)

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; a knock ends it."""
        if self._knocker is None:
            self._knocked.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._knocked.wait()
            except TimeoutError:
                pass

    async def _dial(self, stack: AsyncExitStack) -> Link:
        """Try the address that knocked, then the known ones, the one that worked last first."""
        failure: EdgeloopError | None = None
        known = [(address, self.pairing.port) for address in self.pairing.addresses]
        while self._knocker is not None or known:
            was_knocked = self._knocker is not None
            address, port = self._knocker or known.pop(0)
            self._knocker = None
            try:
                async with asyncio.timeout(None) as self._dialling:
                    link = await stack.enter_async_context(self._open(replace(self.pairing, port=port), address))
            except (DaemonUnreachableError, CertificateMismatchError) as error:
                self._failed.add(address, port, error)
                failure = failure or error
            except TimeoutError:
                continue  # a knock: who knocks is dialled first
            else:
                self.was_knocked = was_knocked
                await self._reached(address, port)
                return link
            finally:
                self._dialling = None
        raise failure or DaemonUnreachableError("The pairing names no address.")

    def _open(self, pairing: Pairing, address: str) -> AbstractAsyncContextManager[Link]:
        return open_link(pairing, address, heartbeat_seconds=self._heartbeat_seconds)

    async def _reached(self, address: str, port: int) -> None:
        """Remember where the daemon is. An address that means something on one link alone is not worth it."""
        known = self.pairing
        first = () if "%" in address else (address,)
        addresses = (*first, *(one for one in known.addresses if one != address))[:MAX_ADDRESSES]
        self.pairing = replace(known, addresses=addresses, port=port)
        if port != known.port or not set(addresses) <= set(known.addresses):
            await self._keep(self.pairing)

    async def _work_over(self, link: Link) -> LinkEnd:
        network = NetworkReport(time.time_ns(), self._advertised(), self.was_knocked, self._failed.all())
        outbox, runs = self._outbox, self._runs
        hello = Hello(
            outbox.epoch, self._info, outbox.streams, runs.ids, self._channels.positions, network, self._state()
        )
        trust = aiohttp.Fingerprint(self.pairing.pin)
        async with device_port(trust, connections=BLOB_CONNECTIONS) as port:
            client = BlobClient(port, link.address, self.pairing.port, link.bearer)
            async with self._transfers.through(client):
                return await link.run(hello, outbox, self._channels, runs.answer, on_ready=lambda: self._linked(link))

    async def _compare_clocks(self) -> ClockCompared | None:
        return None if self._link is None else await self._link.clock.compare()

    def _linked(self, link: Link) -> None:
        self.linked_at = time.monotonic()
        self.address, self.failure, self.failure_kind = link.address, "", ""
        self._failed.clear()
        self.pairing = replace(self.pairing, last_seen=time.time())
        self._keeping = asyncio.create_task(self._keep(self.pairing))  # the link does not wait for the disk
        self._listener(Linked(link.host_name, self.pairing.device_id, link.address))

    async def _unlinked(self) -> None:
        """Keep that there was a link until now, if there was one."""
        if self.address is not None and self._keeping is not None:
            self.address = None
            await self._keeping
            self.pairing = replace(self.pairing, last_seen=time.time())
            await self._keep(self.pairing)

    def _run_changed(self, run_id: str, state: RunState) -> None:
        self._listener(RunChanged(self.pairing.host_name, self.pairing.device_id, run_id, state))
