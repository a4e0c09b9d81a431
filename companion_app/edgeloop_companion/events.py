"""What a companion tells whoever shows it: a screen, or the lines of JSON that the command line reads.

A daemon is told by its host name, and by the identity that this device has there: two computers may have one name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.models import RunState


@dataclass(frozen=True)
class Paired:
    """A daemon may run code here from now on."""

    host: str
    device_id: str


@dataclass(frozen=True)
class Linked:
    """The link to a paired daemon is up, and both sides know what the other holds."""

    host: str
    device_id: str
    address: str


@dataclass(frozen=True)
class LinkLost:
    """There is no link to a paired daemon (any more); it is dialled again after `retry_seconds`."""

    host: str
    device_id: str
    reason: str
    retry_seconds: float


@dataclass(frozen=True)
class Unpaired:
    """The daemon does not know this device any more; its pairing was forgotten here too."""

    host: str
    device_id: str
    reason: str


@dataclass(frozen=True)
class Forgotten:
    """The pairing was forgotten on request of this device's user. The daemon knows if it `is_told`, else when reached next."""

    host: str
    device_id: str
    is_told: bool


@dataclass(frozen=True)
class Switched:
    """A paired daemon is dialled from now on, or is not."""

    host: str
    device_id: str
    is_on: bool


@dataclass(frozen=True)
class RunChanged:
    """A run of a daemon has a new state."""

    host: str
    device_id: str
    run_id: str
    state: RunState


@dataclass(frozen=True)
class Failed:
    """Something that was asked for could not be done."""

    error: EdgeloopError


Event = Paired | Linked | LinkLost | Unpaired | Forgotten | Switched | RunChanged | Failed
Listener = Callable[[Event], None]
