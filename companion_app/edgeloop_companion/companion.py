"""The companion without a screen: pairs, stays linked to every paired daemon, and runs their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from edgeloop_companion.events import Forgotten, Listener, Paired, Switched, Unpaired
from edgeloop_companion.host import Host
from edgeloop_companion.link.advertising import Advertising
from edgeloop_companion.link.farewells import Farewells
from edgeloop_companion.link.pairing import AskAllow, Pairing, pair_by_code, pair_by_offer
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.phone.life_cycle import LifeCycle
from edgeloop_companion.phone.network_watch import NetworkWatch
from edgeloop_companion.phone.phone import Phone, this_phone
from edgeloop_companion.runtime.observing import ObserveRun, OnSeen, TakenRun
from edgeloop_companion.runtime.run_folder import remove_tree
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.workers import Workers
from edgeloop_companion.state_report import StateReport
from edgeloop_shared.errors import NotFoundError, PairingError
from edgeloop_shared.messages import HEARTBEAT_SECONDS
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import PairingOffer

log = logging.getLogger(__name__)

ObserveRunOf = Callable[[Pairing, TakenRun], OnSeen]
"""`ObserveRun`, of all computers: the pairing says whose run it is."""


@contextlib.asynccontextmanager
async def running(
    state_folder: StateFolder,
    info: DeviceInfo,
    listener: Listener,
    *,
    phone: Phone | None = None,
    life_cycle: LifeCycle | None = None,
    max_workers: int = 8,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    is_advertised: bool = False,
    observe: ObserveRunOf | None = None,
) -> AsyncIterator[Companion]:
    """Run a companion on a state folder whose lock the caller holds; at the end its runs are cancelled.

    `phone` is the platform (None: that of this process; Android's is made by `this_phone` in Python's first thread).
    `life_cycle` is None for a companion that nobody sees. A link is lost after one and a half times `heartbeat_seconds` of
    silence. One that `is_advertised` announces itself by mDNS and takes knocks; `Companion.advertising` switches that.
    `observe` is called with every run that comes.

    Raises `SettingsError` when the stored pairings cannot be read.
    """
    await asyncio.to_thread(state_folder.blobs.prune)
    pairings = await asyncio.to_thread(Pairings, state_folder.pairings)
    for stranger in await asyncio.to_thread(state_folder.strange_hosts, [pairing.device_id for pairing in pairings]):
        await asyncio.to_thread(remove_tree, stranger)  # it was unpaired just before an earlier companion was killed
    platform = await asyncio.to_thread(this_phone, state_folder.path) if phone is None else phone
    companion = Companion(
        state_folder,
        pairings,
        info,
        listener,
        platform,
        life_cycle or LifeCycle(),
        max_workers=max_workers,
        heartbeat_seconds=heartbeat_seconds,
        is_advertised=is_advertised,
        observe=observe,
    )
    for pairing in pairings:
        if pairing.is_on:
            companion.serve(pairing)
    works = (companion.advertising.run(), companion.report.run(), companion.farewells.run())
    helpers = [asyncio.create_task(work) for work in works]
    try:
        with companion.following(platform.network):
            yield companion
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(companion.close(), asyncio.wait(helpers))


class Companion:
    """The paired daemons of this device. `listener` is told what happens; it is called on the event loop."""

    def __init__(
        self,
        state_folder: StateFolder,
        pairings: Pairings,
        info: DeviceInfo,
        listener: Listener,
        phone: Phone,
        life_cycle: LifeCycle,
        *,
        max_workers: int,
        heartbeat_seconds: float,
        is_advertised: bool,
        observe: ObserveRunOf | None,
    ) -> None:
        self._state_folder = state_folder
        self._pairings = pairings
        self._info = info
        self._listener = listener
        self._workers = Workers(phone.starter, limit=min(max_workers, phone.max_workers))
        self._life_cycle = life_cycle
        self._heartbeat_seconds = heartbeat_seconds
        self._observe = observe
        self._hosts: dict[str, tuple[Host, asyncio.Task[None]]] = {}
        self._changing = asyncio.Lock()
        self.advertising = Advertising(
            phone.load_advertiser,
            lambda: (*self.hosts, *self.farewells.all),
            is_on=is_advertised,
            moved=self._moved,
        )
        """Whether this device announces itself, and how that goes."""
        self.report = StateReport(phone.vitals, life_cycle, self._state_changed)
        """What its daemons are told of its state."""
        self.farewells = Farewells(pairings, self.advertising.refresh)
        """Who is still to be told that this device has forgotten it."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The daemons that are served now."""
        return tuple(host for host, _ in self._hosts.values())

    @property
    def pairings(self) -> tuple[Pairing, ...]:
        """All pairings, those that are switched off as well."""
        return tuple(self._pairings)

    def host(self, pairing: Pairing) -> Host | None:
        """Return the daemon of `pairing` if it is served now."""
        host, _ = self._hosts.get(pairing.fingerprint, (None, None))
        return host if host is not None and host.pairing.device_id == pairing.device_id else None

    async def pair_by_offer(
        self, offer: PairingOffer, ask_allow: AskAllow, *, on_dial: Callable[[str], None] = lambda _: None
    ) -> Pairing:
        """Pair with the daemon of a scanned code and serve it; `on_dial` is told each address that is tried.

        Raises what `link.pairing.pair_by_offer` raises, and `PairingError` when the pairing cannot be stored.
        """
        return await self._keep(await pair_by_offer(offer, self._info, ask_allow, on_dial=on_dial))

    async def pair_by_code(self, host: str, port: int, code: str, ask_allow: AskAllow) -> Pairing:
        """Pair by address and typed code and serve it. Raises what `link.pairing.pair_by_code` raises."""
        return await self._keep(await pair_by_code(host, port, code, self._info, ask_allow))

    async def switch(self, device_id: str, *, is_on: bool) -> None:
        """Stay linked to a paired daemon from now on, or do not: its runs here are cancelled then. Kept for later apps.

        Raises `NotFoundError`, and `OSError` when it cannot be stored: it is as before then.
        """
        async with self._changing:
            pairing = self._find(device_id)
            if pairing.is_on == is_on:
                return
            if not is_on and (host := await self._stop(pairing.fingerprint)) is not None:
                pairing = host.pairing  # it may have learned new addresses
            switched = replace(pairing, is_on=is_on)
            try:
                await asyncio.to_thread(self._pairings.update, switched)
            except OSError:
                if not is_on:
                    self.serve(pairing)  # it is on still
                raise
            if is_on:
                self.serve(switched)
            self.advertising.refresh()
            self._listener(Switched(pairing.host_name, device_id, is_on))

    async def forget(self, device_id: str) -> None:
        """Unpair from here: the daemon's runs are cancelled, and it is told; one without a link when it is reached next.

        Nothing of it is kept, but how to tell it so until it knows.
        Raises `NotFoundError`, and `OSError` when it cannot be stored: the pairing stays then.
        """
        async with self._changing:
            pairing = self._find(device_id)
            await asyncio.to_thread(self._pairings.give_up, pairing)  # first, so that it is true also after a kill
            is_told = await self._leave(pairing)
            self.advertising.refresh()
            self._listener(Forgotten(pairing.host_name, device_id, is_told))

    @contextlib.contextmanager
    def following(self, network: NetworkWatch) -> Iterator[None]:
        """Follow the app's life cycle and changes of the network for the block."""
        cycle = self._life_cycle
        cycle.on_activity.append(self._activity_changed)
        cycle.on_low_memory.append(self._use_less_memory)
        try:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(network.watching(self.doubt_links))
                except OSError as error:  # then addresses are looked at now and again
                    log.warning("changes of the network are not told: %s", error)
                yield
        finally:
            cycle.on_activity.remove(self._activity_changed)
            cycle.on_low_memory.remove(self._use_less_memory)

    def doubt_links(self) -> None:
        """Have every link prove that it lives, and dial now where there is none: the network, or the time, may be another."""
        self.farewells.hurry()
        for host in self.hosts:
            host.doubt()

    def serve(self, pairing: Pairing) -> None:
        """Stay linked to the daemon of `pairing` from now on."""
        host = Host(
            pairing,
            self._info,
            self._state_folder,
            self._workers,
            self._listener,
            advertised=lambda: self.advertising.state,
            keep=self._update,
            observe=self._observing(pairing),
            state=lambda: self.report.state,
            heartbeat_seconds=self._heartbeat_seconds,
        )
        task = asyncio.create_task(self._serve(host), name=f"host {pairing.host_name}")
        self._hosts[pairing.fingerprint] = (host, task)
        self.advertising.refresh()

    def _observing(self, pairing: Pairing) -> ObserveRun | None:
        observe = self._observe
        return None if observe is None else lambda run: observe(pairing, run)

    def rename(self, name: str) -> None:
        """Call this device `name`, as `DeviceInfo.name` may be; a daemon learns of it with the next link."""
        self._info = replace(self._info, name=name)
        for host in self.hosts:
            host.rename(name)

    async def clear_blobs(self) -> int:
        """Remove the blobs that no run needs that is not over; return how many bytes that was."""
        hosts = self.hosts

        def clear() -> int:
            # The file system's clock is some milliseconds behind.
            since = min((time.time() - 1, *(host.oldest_run() for host in hosts)))
            return self._state_folder.blobs.clear(since)

        return await asyncio.to_thread(clear)

    async def close(self) -> None:
        """Cancel all runs and end all links."""
        await asyncio.gather(*(self._stop(fingerprint) for fingerprint in tuple(self._hosts)))

    async def _keep(self, pairing: Pairing) -> Pairing:
        async with self._changing:
            earlier = next((known for known in self._pairings if known.fingerprint == pairing.fingerprint), None)
            try:
                await asyncio.to_thread(self._pairings.add, pairing)
            except OSError as error:
                raise PairingError(
                    f"The pairing with {pairing.host_name} cannot be kept: {error.strerror}.",
                    hint="Free some space on this device, then pair again.",
                ) from error
            if earlier is not None:  # it is worth nothing now
                await self._leave(earlier)
            self._listener(Paired(pairing.host_name, pairing.device_id))
            self.serve(pairing)
        return pairing

    def _find(self, device_id: str) -> Pairing:
        for pairing in self._pairings:
            if pairing.device_id == device_id:
                return pairing
        raise NotFoundError("This device is not paired with that computer (any more).")

    async def _leave(self, pairing: Pairing) -> bool:
        """Give up a pairing; return whether its daemon has heard so."""
        host, task = self._hosts.pop(pairing.fingerprint, (None, None))
        is_told = host is not None and task is not None and await _end(host, task, unpair=True)
        if is_told:
            await asyncio.to_thread(self._pairings.told, pairing)
        else:
            self.farewells.hurry()
        await asyncio.to_thread(remove_tree, self._state_folder.host(pairing.device_id))
        return is_told

    def _activity_changed(self) -> None:
        is_in_background = self._life_cycle.activity == "background"
        self.advertising.pause(is_in_background)
        if not is_in_background:
            self.doubt_links()

    def _use_less_memory(self) -> None:
        for host in self.hosts:
            host.use_less_memory()

    def _state_changed(self) -> None:
        for host in self.hosts:
            host.tell_state()

    def _moved(self, addresses: frozenset[str]) -> None:
        self.farewells.hurry()
        for host in self.hosts:
            host.moved(addresses)

    async def _update(self, pairing: Pairing) -> None:
        """Keep where a daemon is now, so that it is found again without mDNS."""
        try:
            await asyncio.to_thread(self._pairings.update, pairing)
        except OSError as error:
            log.warning("where %s is now is not kept: %s", pairing.host_name, error)

    async def _serve(self, host: Host) -> None:
        reason = await host.serve()
        if self._hosts.get(host.pairing.fingerprint, (None, None))[0] is not host:
            return  # it was closed from here
        self._hosts.pop(host.pairing.fingerprint, None)
        try:
            await asyncio.to_thread(self._pairings.remove, host.pairing)
        except OSError as error:  # a later app is told so again
            log.warning("that %s has unpaired this device is not kept: %s", host.pairing.host_name, error)
        self.advertising.refresh()
        self._listener(Unpaired(host.pairing.host_name, host.pairing.device_id, reason))
        await host.close()
        await asyncio.to_thread(remove_tree, host.folder)

    async def _stop(self, fingerprint: str) -> Host | None:
        host, task = self._hosts.pop(fingerprint, (None, None))
        if host is not None and task is not None:
            await _end(host, task)
        return host


async def _end(host: Host, task: asyncio.Task[None], *, unpair: bool = False) -> bool:
    is_heard = await host.close(unpair=unpair)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return is_heard
