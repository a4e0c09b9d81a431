"""The companion without a screen: pairs, stays linked to every paired daemon, and runs their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from edgeloop_companion.events import Listener, Paired, Unpaired
from edgeloop_companion.host import Host
from edgeloop_companion.link.advertising import Advertiser, Advertising
from edgeloop_companion.link.channels import LOST_SECONDS
from edgeloop_companion.link.pairing import AskAllow, Pairing, pair_by_code, pair_by_offer
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.phone.phone import zeroconf_advertiser
from edgeloop_companion.runtime.run_folder import remove_tree
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.workers import ProcessStarter, Workers, WorkerStarter
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import PairingOffer

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def running(
    state_folder: StateFolder,
    info: DeviceInfo,
    listener: Listener,
    *,
    starter: WorkerStarter | None = None,
    max_workers: int = 8,
    channel_seconds: float = LOST_SECONDS,
    is_advertised: bool = False,
    load_advertiser: Callable[[], Advertiser] = zeroconf_advertiser,
) -> AsyncIterator[Companion]:
    """Run a companion on a state folder whose lock the caller holds; at the end its runs are cancelled.

    A channel (a debugger's, say) outlives its link for `channel_seconds`. One that `is_advertised` announces itself by mDNS and
    takes knocks; `Companion.advertising` switches that. Raises `SettingsError` when the stored pairings cannot be read.
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
        channel_seconds=channel_seconds,
        is_advertised=is_advertised,
        load_advertiser=load_advertiser,
    )
    for pairing in pairings:
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
        channel_seconds: float,
        is_advertised: bool,
        load_advertiser: Callable[[], Advertiser],
    ) -> None:
        self._state_folder = state_folder
        self._pairings = pairings
        self._info = info
        self._listener = listener
        self._workers = workers
        self._channel_seconds = channel_seconds
        self._hosts: dict[str, tuple[Host, asyncio.Task[None]]] = {}
        self.advertising = Advertising(load_advertiser, lambda: self.hosts, is_on=is_advertised, moved=self._moved)
        """Whether this device announces itself, and how that goes."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The daemons that are served now."""
        return tuple(host for host, _ in self._hosts.values())

    async def pair_by_offer(self, offer: PairingOffer, ask_allow: AskAllow) -> Pairing:
        """Pair with the daemon of a scanned code and serve it. Raises what `link.pairing.pair_by_offer` raises."""
        return await self._keep(await pair_by_offer(offer, self._info, ask_allow))

    async def pair_by_code(self, host: str, port: int, code: str, ask_allow: AskAllow) -> Pairing:
        """Pair by address and typed code and serve it. Raises what `link.pairing.pair_by_code` raises."""
        return await self._keep(await pair_by_code(host, port, code, self._info, ask_allow))

    def serve(self, pairing: Pairing) -> None:
        """Stay linked to the daemon of `pairing` from now on."""
        host = Host(
            pairing,
            self._info,
            self._state_folder,
            self._workers,
            self._listener,
            advertised=lambda: self.advertising.state,
            keep=self._keep_address,
            channel_seconds=self._channel_seconds,
        )
        task = asyncio.create_task(self._serve(host), name=f"host {pairing.host_name}")
        self._hosts[pairing.fingerprint] = (host, task)
        self.advertising.refresh()

    async def close(self) -> None:
        """Cancel all runs and end all links."""
        await asyncio.gather(*(self._stop(fingerprint) for fingerprint in tuple(self._hosts)))

    async def _keep(self, pairing: Pairing) -> Pairing:
        await asyncio.to_thread(self._pairings.add, pairing)
        earlier = await self._stop(pairing.fingerprint)  # it is worth nothing now
        if earlier is not None:
            await asyncio.to_thread(remove_tree, earlier.folder)
        self._listener(Paired(pairing.host_name, pairing.device_id))
        self.serve(pairing)
        return pairing

    def _moved(self, addresses: frozenset[str]) -> None:
        for host in self.hosts:
            host.moved(addresses)

    async def _keep_address(self, known: Pairing, pairing: Pairing) -> None:
        """Keep where a daemon is now, so that it is found again without mDNS."""
        try:
            await asyncio.to_thread(self._pairings.replace, known, pairing)
        except OSError as error:
            log.warning("the address of %s is not kept: %s", pairing.host_name, error)

    async def _serve(self, host: Host) -> None:
        reason = await host.serve()
        if self._hosts.get(host.pairing.fingerprint, (None, None))[0] is not host:
            return  # it was closed from here
        await asyncio.to_thread(self._pairings.remove, host.pairing)
        self._hosts.pop(host.pairing.fingerprint, None)
        self.advertising.refresh()
        self._listener(Unpaired(host.pairing.host_name, reason))
        await host.close()
        await asyncio.to_thread(remove_tree, host.folder)

    async def _stop(self, fingerprint: str) -> Host | None:
        host, task = self._hosts.pop(fingerprint, (None, None))
        if host is None or task is None:
            return None
        await host.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return host
