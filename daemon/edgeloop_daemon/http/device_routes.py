"""Routes on paired devices and on pairing."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_daemon.devices.device_list import Device, Devices
from edgeloop_daemon.devices.pairing import OpenedWindow, Pairing
from edgeloop_daemon.devices.pairing_window import WINDOW_SECONDS, WindowState
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_shared.errors import NotFoundError


@dataclass(frozen=True)
class DeviceItems:
    """The paired devices, the oldest first."""

    items: tuple[Device, ...]


@dataclass(frozen=True)
class OpenWindow:
    """How long the window is to be open."""

    timeout_seconds: float = field(default=WINDOW_SECONDS, metadata={"ge": 1, "le": 600})


@dataclass(frozen=True)
class WaitQuery:
    """How many seconds to wait for a change."""

    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class Window:
    """A pairing window. `offer` is the QR code's text, `code` what a person types; `device` is the one that has paired."""

    code: str = field(repr=False)
    offer: str = field(repr=False)
    addresses: tuple[str, ...]
    port: int
    expires_at: float
    state: WindowState
    wrong_tries: int
    device: Device | None


def device_routes(devices: Devices, pairing: Pairing) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_devices(_: Call) -> DeviceItems:
        return DeviceItems(devices.list())

    async def revoke_device(call: Call) -> None:
        await devices.revoke(call.path["device"])

    async def open_pairing(call: Call) -> Window:
        return shown(await pairing.open(call.body.timeout_seconds))

    async def get_pairing(call: Call) -> Window:
        return shown(await pairing.wait(call.query.wait))

    async def close_pairing(_: Call) -> None:
        await pairing.close()

    def shown(window: OpenedWindow) -> Window:
        return Window(
            code=window.code,
            offer=window.offer,
            addresses=window.addresses,
            port=window.port,
            expires_at=window.expires_at,
            state=window.state,
            wrong_tries=window.wrong_tries,
            device=_device(devices, window.device_id),
        )

    return (
        Route("GET", "/devices", "list_devices", "List the paired devices.", list_devices, DeviceItems, tag="devices"),
        Route("DELETE", "/devices/{device}", "revoke_device", "Unpair a device.", revoke_device, tag="devices"),
        Route(
            *("POST", "/pairing", "open_pairing", "Open a pairing window; an earlier one closes.", open_pairing),
            result=Window,
            body=OpenWindow,
            tag="devices",
        ),
        Route(
            *("GET", "/pairing", "get_pairing", "Tell how pairing goes.", get_pairing),
            result=Window,
            query=WaitQuery,
            tag="devices",
        ),
        Route("DELETE", "/pairing", "close_pairing", "Close the pairing window.", close_pairing, tag="devices"),
    )


def _device(devices: Devices, device_id: str | None) -> Device | None:
    try:
        return None if device_id is None else devices.get(device_id)
    except NotFoundError:  # revoked since
        return None
