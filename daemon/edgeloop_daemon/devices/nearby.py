"""The phones that announce themselves in the network, and which of them are paired.

Whoever is in the network can announce anything: that a phone is nearby is a hint, and what it says is shown, never believed.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgeloop_daemon.devices.registry import Registry
from edgeloop_shared.announcements import Announcement, read_txt
from edgeloop_shared.errors import MessageError
from edgeloop_shared.networks import OwnAddress, is_on_link

MAX_STRANGERS = 64
MAX_OF_ONE_DEVICE = 4
MAX_ADDRESSES = 6
_NAME = re.compile("[0-9a-f]{1,32}")


@dataclass(frozen=True)
class Sighting:
    """An announcement as it came. `txt` is the raw TXT record, `addresses` are what it says of itself."""

    name: str
    addresses: tuple[str, ...]
    port: int
    txt: bytes


class Watcher(Protocol):
    """Who is told by a browser."""

    def seen(self, sighting: Sighting) -> None:
        """A service has come or changed."""

    def gone(self, name: str) -> None:
        """It has said goodbye, or was not heard of for too long."""

    def names(self) -> Sequence[str]:
        """Return who is taken for present."""


@dataclass
class Phone:
    """A phone nearby. `device` is the id of the paired device that it is. `since` is in seconds since the epoch.

    `knocks` counts the knocks that nobody has answered yet, `next_knock` is a moment of the monotonic clock.
    """

    name: str
    device: str | None
    addresses: tuple[str, ...]
    port: int
    announcement: Announcement
    since: float
    knocks: int = 0
    next_knock: float = 0.0


@dataclass
class Nearby:
    """All of them. `changed` is called when a phone has come (True) or gone (False)."""

    registry: Registry
    changed: Callable[[Phone, bool], None]
    own: Sequence[OwnAddress] = ()
    phones: dict[str, Phone] = field(default_factory=dict)

    def seen(self, sighting: Sighting) -> None:
        """Enter a phone that has come, or what has changed of one."""
        if _NAME.fullmatch(sighting.name) is None:
            return
        try:
            announcement = read_txt(sighting.txt)
        except MessageError:
            return  # not a phone of this version
        # A phone says where it is. Nothing is ever sent to an address that is not in a network of this computer.
        addresses = tuple(scoped for one in sighting.addresses if (scoped := self._on_link(one)) is not None)
        keys = ((device.id, device.key) for device in self.registry.list())
        device = next((device_id for device_id, key in keys if announcement.is_of(key)), None)
        known = self.phones.get(sighting.name)
        if known is not None and addresses and (known.announcement, known.device) == (announcement, device):
            known.addresses, known.port = addresses[:MAX_ADDRESSES], sighting.port
            return
        if known is not None:
            self.gone(sighting.name)
        most = MAX_STRANGERS if device is None else MAX_OF_ONE_DEVICE
        if not addresses or sum(phone.device == device for phone in self.phones.values()) >= most:
            return
        phone = Phone(sighting.name, device, addresses[:MAX_ADDRESSES], sighting.port, announcement, time.time())
        self.phones[phone.name] = phone
        self.changed(phone, True)

    def _on_link(self, address: str) -> str | None:
        """Return an address that is reached without a router, where need be with the interface, or None for any other."""
        text, _, scope = address.partition("%")
        if not is_on_link(text, self.own) or ipaddress.ip_address(text).is_loopback:
            return None
        if ipaddress.ip_address(text).version == 4 or not ipaddress.ip_address(text).is_link_local:
            return text
        # An address of the link alone that has come over IPv4 names no interface.
        links = {str(one.index) for one in self.own if ":" in one.address and one.is_link_local}
        return f"{text}%{scope}" if scope else f"{text}%{links.pop()}" if len(links) == 1 else None

    def gone(self, name: str) -> None:
        """Forget a phone."""
        if (phone := self.phones.pop(name, None)) is not None:
            self.changed(phone, False)

    def names(self) -> tuple[str, ...]:
        """Return what the phones call themselves."""
        return tuple(self.phones)

    def clear(self) -> None:
        """Forget all."""
        for name in self.names():
            self.gone(name)

    def of_device(self, device_id: str) -> list[Phone]:
        """Return the announcements of a paired device."""
        return [phone for phone in self.phones.values() if phone.device == device_id]

    def paired(self) -> Iterator[Phone]:
        """Go through the phones that are paired."""
        for phone in tuple(self.phones.values()):
            if phone.device is not None and self.registry.find(phone.device) is not None:
                yield phone
