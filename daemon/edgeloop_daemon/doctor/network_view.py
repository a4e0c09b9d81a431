"""What a running daemon knows of the network between it and phones, read from its own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeloop_shared.codec import decode
from edgeloop_shared.network_reports import DialAttempt


@dataclass(frozen=True)
class DeviceOnNetwork:
    """A paired device. What only it can know is None or empty until it has told, at a link since the daemon started."""

    name: str
    is_linked: bool
    is_nearby: bool
    is_virtual: bool
    unanswered_knocks: int
    announces: bool | None
    failed: tuple[DialAttempt, ...]
    clock_offset: float | None
    is_on_link: bool | None


@dataclass(frozen=True)
class NetworkView:
    """`state` is how looking for phones goes, `reason` why it does not; `addresses` are this computer's, with prefixes."""

    state: str
    reason: str
    addresses: tuple[str, ...]
    strangers: int
    devices: tuple[DeviceOnNetwork, ...]


def network_view(devices: Sequence[Mapping[str, Any]], nearby: Mapping[str, Any]) -> NetworkView:
    """Return what the answers to `GET /devices` and `GET /devices/nearby` say."""
    knocks: dict[str, int] = {}
    for phone in nearby["items"]:
        if phone["device"] is not None:
            knocks[phone["device"]] = max(knocks.get(phone["device"], 0), phone["unanswered_knocks"])
    return NetworkView(
        state=nearby["state"],
        reason=nearby["reason"],
        addresses=tuple(nearby["addresses"]),
        strangers=sum(phone["device"] is None for phone in nearby["items"]),
        devices=tuple(_device(device, knocks.get(device["id"], 0)) for device in devices),
    )


def _device(device: Mapping[str, Any], knocks: int) -> DeviceOnNetwork:
    told: Mapping[str, Any] = device["network"] or {}
    is_in_background = device["state"] is not None and device["state"]["activity"] == "background"
    return DeviceOnNetwork(
        name=device["info"]["name"],
        is_linked=device["is_linked"],
        is_nearby=device["is_nearby"],
        is_virtual=device["info"]["is_virtual"],
        unanswered_knocks=knocks,
        announces=told["mdns"] == "on" and not is_in_background if told else None,
        failed=tuple(decode(DialAttempt, attempt) for attempt in told.get("failed", ())),
        clock_offset=told.get("clock_offset"),
        is_on_link=told.get("is_on_link"),
    )
