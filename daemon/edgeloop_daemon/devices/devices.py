"""Everything about devices, put together: the one function that `app.py` calls."""

from __future__ import annotations

import asyncio
import platform
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edgeloop_daemon.devices.active_runs import VANISH_SECONDS, ActiveRuns
from edgeloop_daemon.devices.blob_transfers import BlobTransfers
from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.devices.commands import Commands
from edgeloop_daemon.devices.device_channels import DeviceChannels
from edgeloop_daemon.devices.device_list import Devices
from edgeloop_daemon.devices.device_port import DevicePort
from edgeloop_daemon.devices.device_states import DeviceStates
from edgeloop_daemon.devices.discovery import Browser, Discovery, load_zeroconf_browser, reason_against
from edgeloop_daemon.devices.links import Links
from edgeloop_daemon.devices.listener import Listener
from edgeloop_daemon.devices.pairing import Pairing
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.messages import HEARTBEAT_SECONDS
from edgeloop_shared.models import NAME_PATTERN


@dataclass(frozen=True)
class DeviceServices:
    """What the API's routes stand on. `listener.port` is the device port while it is open."""

    devices: Devices
    pairing: Pairing
    runs: Runs
    channels: DeviceChannels
    listener: Listener
    discovery: Discovery


@asynccontextmanager
async def open_devices(
    folders: Folders,
    database: Database,
    blobs: BlobStore,
    *,
    host_name: str | None = None,
    host: str | None = None,
    port: int | None = None,
    mdns: bool = False,
    load_browser: Callable[[], Browser] = load_zeroconf_browser,
    vanish_seconds: float = VANISH_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    quotas: Quotas | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[DeviceServices]:
    """Serve devices for the block.

    `host_name` is shown to a phone's user when it pairs (None: this computer's name). `host` is the IP address to listen on
    (None: all interfaces), `port` an explicit device port (None: the remembered one, at first any free one). With `mdns` phones
    are looked for once `DeviceServices.discovery` begins, unless the user has switched that off. A run outlives its device's
    link for `vanish_seconds`; a link is lost after one and a half times `heartbeat_seconds` of silence. `clock` (monotonic
    seconds) times pairing windows and nonces.
    Raises `PortInUseError`.
    """
    certificate = await asyncio.to_thread(load_or_create_certificate, folders.certificate, folders.certificate_key)
    registry = Registry(database)
    await registry.load()
    commands = Commands()
    active = ActiveRuns(database, blobs, registry, commands, vanish_seconds=vanish_seconds, quotas=quotas or Quotas())
    shown_name = _shown(host_name or platform.node())
    channels = DeviceChannels(active.device_of)
    states = DeviceStates(database)
    links = Links(registry, commands, channels, states, active, shown_name)
    listener = Listener(
        database, certificate.context, host=host, port=port, heartbeat_seconds=heartbeat_seconds, clock=clock
    )
    forbidden = reason_against(host, mdns)
    discovery = Discovery(database, registry, links, listener, load_browser, host=host, forbidden=forbidden)
    pairing = Pairing(database, registry, listener, certificate.fingerprint, shown_name, clock=clock)
    device_port = DevicePort(certificate.fingerprint, registry, pairing, links, BlobTransfers(blobs, active.files))
    devices = Devices(registry, listener, links, states, active, channels, discovery)
    async with active.watching(), states.noting(), listener.serving(device_port.handle), discovery.running():
        try:
            if database.problem is None:  # else nothing that a device says could be stored
                for device in registry.list():
                    await listener.hold(device.id)
            yield DeviceServices(
                devices=devices,
                pairing=pairing,
                runs=Runs(database, blobs, registry, commands, active),
                channels=channels,
                listener=listener,
                discovery=discovery,
            )
        finally:
            channels.close()
            await pairing.close()
            await listener.stop()
            await links.close()


def _shown(name: str) -> str:
    """Return a host name that the messages of pairing and link accept."""
    return "".join(filter(re.compile(NAME_PATTERN).match, name))[:64] or "a computer"
