"""Routes on paired devices and on pairing."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_daemon.devices.device_list import Device, Devices
from edgeloop_daemon.devices.discovery import Discovery, NearbyPhones
from edgeloop_daemon.devices.pairing import OpenedWindow, Pairing
from edgeloop_daemon.devices.pairing_window import WINDOW_SECONDS
from edgeloop_daemon.http.paging import ListQuery, page_of
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_shared.errors import NotFoundError, PortInUseError


@dataclass(frozen=True)
class DeviceItems:
    """The paired devices, the oldest first."""

    items: tuple[Device, ...]
    next: str | None


@dataclass(frozen=True)
class OpenWindow:
    """How long the window is to be open."""

    timeout_seconds: float = field(default=WINDOW_SECONDS, metadata={"ge": 1, "le": 600})


@dataclass(frozen=True)
class WaitQuery:
    """How many seconds to wait for a change."""

    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class DiscoverySetting:
    """Whether phones are looked for by mDNS."""

    is_on: bool


def device_routes(devices: Devices, pairing: Pairing, discovery: Discovery) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_devices(call: Call) -> DeviceItems:
        return DeviceItems(*page_of(devices.list(), call.query, lambda device: (device.paired_at, device.id)))

    async def revoke_device(call: Call) -> None:
        await devices.revoke(call.path["device"])

    async def list_nearby(_: Call) -> NearbyPhones:
        return discovery.nearby()

    async def set_discovery(call: Call) -> NearbyPhones:
        return await discovery.switch(call.body.is_on)

    async def open_pairing(call: Call) -> OpenedWindow:
        return await pairing.open(call.body.timeout_seconds)

    async def get_pairing(call: Call) -> OpenedWindow:
        return await pairing.wait(call.query.wait)

    async def close_pairing(_: Call) -> None:
        await pairing.close()

    return (
        Route(
            *("GET", "/devices", "list_devices", "List the paired devices.", list_devices),
            result=DeviceItems,
            query=ListQuery,
            tag="devices",
        ),
        Route(
            *("GET", "/devices/nearby", "list_nearby_phones", "List the phones that announce themselves.", list_nearby),
            result=NearbyPhones,
            tag="devices",
        ),
        Route(
            *("PUT", "/devices/discovery", "set_discovery", "Look for phones by mDNS, or do not.", set_discovery),
            result=NearbyPhones,
            body=DiscoverySetting,
            tag="devices",
        ),
        Route("DELETE", "/devices/{device}", "revoke_device", "Unpair a device.", revoke_device, tag="devices"),
        Route(
            *("POST", "/pairing", "open_pairing", "Open a pairing window; an earlier one closes.", open_pairing),
            result=OpenedWindow,
            body=OpenWindow,
            tag="devices",
            errors=(PortInUseError,),
        ),
        Route(
            *("GET", "/pairing", "get_pairing", "Tell how pairing goes.", get_pairing),
            result=OpenedWindow,
            query=WaitQuery,
            tag="devices",
            errors=(NotFoundError,),
        ),
        Route("DELETE", "/pairing", "close_pairing", "Close the pairing window.", close_pairing, tag="devices"),
    )
