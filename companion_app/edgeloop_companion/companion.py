"""The companion without a screen: pairs, stays linked to every paired daemon, and runs their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from edgeloop_companion.events import Forgotten, Listener, Paired, Switched, Unpaired
from edgeloop_companion.host import Host
from edgeloop_companion.link.advertising import Advertiser, Advertising
from edgeloop_companion.link.pairing import AskAllow, Pairing, pair_by_code, pair_by_offer
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.phone.phone import zeroconf_advertiser
from edgeloop_companion.runtime.observing import ObserveRun, OnSeen, TakenRun
from edgeloop_companion.runtime.run_folder import remove_tree
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.workers import ProcessStarter, Workers, WorkerStarter
from edgeloop_shared.errors import NotFoundError
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
    starter: WorkerStarter | None = None,
    max_workers: int = 8,
    is_advertised: bool = False,
    load_advertiser: Callable[[], Advertiser] = zeroconf_advertiser,
    observe: ObserveRunOf | None = None,
) -> AsyncIterator[Companion]:
    """Run a companion on a state folder whose lock the caller holds; at the end its runs are cancelled.

    One that `is_advertised` announces itself by mDNS and takes knocks; `Companion.advertising` switches that. `observe` is called
    with every run that comes. Raises `SettingsError` when the stored pairings cannot be read.
    """
    await asyncio.to_thread(state_folder.blobs.prune)
    pairings = await asyncio.to_thread(Pairings, state_folder.pairings)
    for stranger in await asyncio.to_thread(state_folder.strange_hosts, [pairing.device_id for pairing in pairings]):
        await asyncio.to_thread(remove_tree, stranger)  # it was unpaired just before an earlier companion was killed
    workers = Workers(starter or ProcessStarter(), limit=max_workers)
    companion = Companion(
        state_folder,
        pairings,
        info,
        listener,
        workers,
        is_advertised=is_advertised,
        load_advertiser=load_advertiser,
        observe=observe,
    )
    for pairing in pairings:
        if pairing.is_on:
            companion.serve(pairing)
    advertising = asyncio.create_task(companion.advertising.run())
    try:
        yield companion
    finally:
        advertising.cancel()
        await asyncio.gather(companion.close(), asyncio.wait({advertising}))


class Companion:
    """The paired daemons of this device. `listener` is told what happens; it is called on the event loop."""

    def __init__(
        self,
        state_folder: StateFolder,
        pairings: Pairings,
        info: DeviceInfo,
        listener: Listener,
        workers: Workers,
        *,
        is_advertised: bool,
        load_advertiser: Callable[[], Advertiser],
        observe: ObserveRunOf | None,
    ) -> None:
        self._state_folder = state_folder
        self._pairings = pairings
        self._info = info
        self._listener = listener
        self._workers = workers
        self._observe = observe
        self._hosts: dict[str, tuple[Host, asyncio.Task[None]]] = {}
        self._changing = asyncio.Lock()
        self.advertising = Advertising(load_advertiser, lambda: self.hosts, is_on=is_advertised, moved=self._moved)
        """Whether this device announces itself, and how that goes."""

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

        Raises what `link.pairing.pair_by_offer` raises.
        """
        return await self._keep(await pair_by_offer(offer, self._info, ask_allow, on_dial=on_dial))

    async def pair_by_code(self, host: str, port: int, code: str, ask_allow: AskAllow) -> Pairing:
        """Pair by address and typed code and serve it. Raises what `link.pairing.pair_by_code` raises."""
        return await self._keep(await pair_by_code(host, port, code, self._info, ask_allow))

    async def switch(self, device_id: str, *, is_on: bool) -> None:
        """Stay linked to a paired daemon from now on, or do not: its runs here are cancelled then. Kept for later apps.

        Raises `NotFoundError`.
        """
        async with self._changing:
            pairing = self._find(device_id)
            if pairing.is_on == is_on:
                return
            if not is_on and (host := await self._stop(pairing.fingerprint)) is not None:
                pairing = host.pairing  # it may have learned new addresses
            pairing = replace(pairing, is_on=is_on)
            await asyncio.to_thread(self._pairings.update, pairing)
            if is_on:
                self.serve(pairing)
            self.advertising.refresh()
            self._listener(Switched(pairing.host_name, device_id, is_on))

    async def forget(self, device_id: str) -> None:
        """Unpair from here: the daemon's runs are cancelled, nothing of it is kept, and it is told if it is linked.

        Raises `NotFoundError`.
        """
        async with self._changing:
            pairing = self._find(device_id)
            await asyncio.to_thread(self._pairings.remove, pairing)  # first, so that it is true also after a kill
            is_told = await self._leave(pairing)
            self.advertising.refresh()
            self._listener(Forgotten(pairing.host_name, device_id, is_told))

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
        )
        task = asyncio.create_task(self._serve(host), name=f"host {pairing.host_name}")
        self._hosts[pairing.fingerprint] = (host, task)
        self.advertising.refresh()

    def _observing(self, pairing: Pairing) -> ObserveRun | None:
        observe = self._observe
        return None if observe is None else lambda run: observe(pairing, run)

    async def close(self) -> None:
        """Cancel all runs and end all links."""
        await asyncio.gather(*(self._stop(fingerprint) for fingerprint in tuple(self._hosts)))

    async def _keep(self, pairing: Pairing) -> Pairing:
        async with self._changing:
            earlier = next((known for known in self._pairings if known.fingerprint == pairing.fingerprint), None)
            await asyncio.to_thread(self._pairings.add, pairing)
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
        await asyncio.to_thread(remove_tree, self._state_folder.host(pairing.device_id))
        return is_told

    def _moved(self, addresses: frozenset[str]) -> None:
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
        await asyncio.to_thread(self._pairings.remove, host.pairing)
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
