"""One paired daemon: its link for as long as it is paired, its outbox and its runs."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import AsyncExitStack

import aiohttp

from edgeloop_companion.events import Linked, LinkLost, Listener, RunChanged
from edgeloop_companion.link.blobs import BlobClient, Transfers
from edgeloop_companion.link.channels import LOST_SECONDS, Channels
from edgeloop_companion.link.connection import CLOSE_LOST, CLOSE_REPLACED, CLOSE_REVOKED, Link, LinkEnd, open_link
from edgeloop_companion.link.device_port import device_port
from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.reconnect import Reconnect
from edgeloop_companion.runtime.guardian import TERMINATE_SECONDS
from edgeloop_companion.runtime.memory import default_limit
from edgeloop_companion.runtime.runs import Runs
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.tasks import TaskLimits
from edgeloop_companion.runtime.workers import Workers
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.errors import CertificateMismatchError, DaemonUnreachableError, EdgeloopError, NotPairedError
from edgeloop_shared.messages import Hello
from edgeloop_shared.models import DeviceInfo, RunState

BLOB_CONNECTIONS = 6
GOODBYE_SECONDS = 2.0

log = logging.getLogger(__name__)


class Host:
    """Stays linked to one daemon and works for it. Its runs go on while the link is down."""

    def __init__(
        self,
        pairing: Pairing,
        info: DeviceInfo,
        state_folder: StateFolder,
        workers: Workers,
        listener: Listener,
        *,
        channel_seconds: float = LOST_SECONDS,
    ) -> None:
        self.pairing = pairing
        self._info = info
        self._listener = listener
        self.folder = state_folder.host(pairing.device_id)
        self._outbox = Outbox(self.folder)
        self._transfers = Transfers(state_folder.blobs, pairing.device_id)
        limits = TaskLimits(state_folder.lock, default_limit(info.memory_bytes))
        self._runs = Runs(
            self.folder, self._outbox, self._transfers, workers, limits, self._compare_clocks, self._run_changed
        )
        self._channels = Channels(self._runs, self._outbox.ready.set, lost_seconds=channel_seconds)
        self._link: Link | None = None
        self._closing = asyncio.Event()
        self._addresses = list(pairing.addresses)

    @property
    def is_linked(self) -> bool:
        """Whether the link is up."""
        return self._link is not None

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
            self._listener(LinkLost(self.pairing.host_name, end.reason, round(delay, 3)))
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Cancel the runs, give the daemon a moment to store how they ended, and say goodbye."""
        self._closing.set()
        await self._channels.close()
        await self._runs.close(patience=TERMINATE_SECONDS + GOODBYE_SECONDS)
        if self._link is not None:
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._outbox.drained()
                    await self._link.close()
            except TimeoutError:
                pass  # the rest stays on the disk until the next time
        await self._runs.settled()

    async def _serve_once(self) -> tuple[LinkEnd, float]:
        """Link once and stay until the link ends; return why it did and for how many seconds it lived."""
        begun = math.inf
        try:
            async with AsyncExitStack() as stack:
                self._link = await self._dial(stack)
                begun = time.monotonic()
                end = await self._work_over(self._link)
        except NotPairedError as error:
            end = LinkEnd(CLOSE_REVOKED, error.message)
        except EdgeloopError as error:
            end = LinkEnd(CLOSE_LOST, error.message)
        except (aiohttp.ClientError, ConnectionError) as error:
            end = LinkEnd(CLOSE_LOST, f"the connection was lost: {error}")
        except Exception as error:
            # The device must stay reachable whatever a daemon makes of it.
            log.exception("link to %s", self.pairing.host_name)
            end = LinkEnd(CLOSE_LOST, f"a fault in edgeloop: {type(error).__name__}: {error}")
        finally:
            self._link = None
        return end, max(0.0, time.monotonic() - begun)

    async def _dial(self, stack: AsyncExitStack) -> Link:
        """Try the known addresses in turn, the one that worked last first."""
        failure: EdgeloopError | None = None
        for address in tuple(self._addresses):
            try:
                link = await stack.enter_async_context(open_link(self.pairing, address))
            except (DaemonUnreachableError, CertificateMismatchError) as error:
                failure = failure or error
            else:
                self._addresses.remove(address)
                self._addresses.insert(0, address)
                return link
        raise failure or DaemonUnreachableError("The pairing names no address.")

    async def _work_over(self, link: Link) -> LinkEnd:
        hello = Hello(self._outbox.epoch, self._info, self._outbox.streams, self._runs.ids, self._channels.positions)
        trust = aiohttp.Fingerprint(self.pairing.pin)
        async with device_port(trust, connections=BLOB_CONNECTIONS) as port:
            client = BlobClient(port, link.address, self.pairing.port, link.bearer)
            async with self._transfers.through(client):
                return await link.run(
                    hello, self._outbox, self._channels, self._runs.answer, on_ready=lambda: self._linked(link)
                )

    async def _compare_clocks(self) -> ClockCompared | None:
        return None if self._link is None else await self._link.clock.compare()

    def _linked(self, link: Link) -> None:
        self._listener(Linked(link.host_name, link.address))

    def _run_changed(self, run_id: str, state: RunState) -> None:
        self._listener(RunChanged(self.pairing.host_name, run_id, state))
