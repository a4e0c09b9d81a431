"""The paired devices as users see them: who they are, whether they are here, and forgetting them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from edgeloop_daemon.devices.active_runs import ActiveRuns
from edgeloop_daemon.devices.device_channels import DeviceChannels
from edgeloop_daemon.devices.device_states import DeviceStates
from edgeloop_daemon.devices.discovery import Discovery
from edgeloop_daemon.devices.links import Links
from edgeloop_daemon.devices.listener import Listener
from edgeloop_daemon.devices.registry import PairedDevice, Registry
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.network_reports import AdvertisingState, DialAttempt


@dataclass(frozen=True)
class DeviceNetwork:
    """What a device told of its network when it linked last, since the daemon started.

    `mdns` is whether it announces itself; `failed` holds the addresses at which it had tried this computer in vain since the
    link before; `clock_offset` is how many seconds its clock was ahead. `is_on_link` tells whether it came without a router (null
    while phones are not looked for).
    """

    mdns: AdvertisingState
    was_knocked: bool
    failed: tuple[DialAttempt, ...]
    clock_offset: float
    is_on_link: bool | None


@dataclass(frozen=True)
class Device:
    """A paired device. `info` is its own word; `runs` counts those that it works on. Times are seconds since the epoch.

    One that `is_nearby` announces itself in the network now. `state` is what a linked one reported last, its own word too: null
    when it is away or reports nothing.
    """

    id: str
    info: DeviceInfo
    is_linked: bool
    is_nearby: bool
    address: str | None
    paired_at: float
    last_seen: float | None
    runs: int
    network: DeviceNetwork | None
    state: DeviceState | None


class Devices:
    """All paired devices."""

    def __init__(
        self,
        registry: Registry,
        listener: Listener,
        links: Links,
        states: DeviceStates,
        runs: ActiveRuns,
        channels: DeviceChannels,
        discovery: Discovery,
    ) -> None:
        self._registry = registry
        self._listener = listener
        self._links = links
        self._states = states
        self._runs = runs
        self._channels = channels
        self._discovery = discovery
        links.unpair = self._unpaired

    def list(self) -> tuple[Device, ...]:
        """Return the paired devices, the oldest first."""
        return tuple(map(self._device, self._registry.list()))

    def get(self, device_id: str) -> Device:
        """Return one device. Raises `NotFoundError`."""
        return self._device(self._registry.get(device_id))

    async def revoke(self, device_id: str, *, by_device: bool = False) -> None:
        """Unpair a device: its key is void, its link ends, its runs have failed.

        Raises `NotFoundError`, and `StorageError` when that cannot be stored: all is as it was then.
        """
        name = self._registry.get(device_id).info.name
        await self._registry.revoke(device_id, by_device=by_device)
        await self._links.revoke(device_id)
        self._channels.revoked(device_id)
        await self._runs.revoked(device_id, name)
        await self._listener.release(device_id)

    async def _unpaired(self, device_id: str) -> None:
        with contextlib.suppress(NotFoundError):  # both users did it at once
            await self.revoke(device_id, by_device=True)

    def _device(self, device: PairedDevice) -> Device:
        address = self._links.address(device.id)
        return Device(
            id=device.id,
            info=device.info,
            is_linked=address is not None,
            is_nearby=self._discovery.is_nearby(device.id),
            address=address,
            paired_at=device.paired_at,
            last_seen=device.last_seen,
            runs=len(self._runs.on_device(device.id)),
            network=self._network(device.id),
            state=self._states.get(device.id),
        )

    def _network(self, device_id: str) -> DeviceNetwork | None:
        told = self._links.network(device_id)
        if told is None:
            return None
        report, is_on_link = told.report, self._discovery.is_on_link(told.address)
        return DeviceNetwork(report.mdns, report.was_knocked, report.failed, round(told.clock_offset, 3), is_on_link)
