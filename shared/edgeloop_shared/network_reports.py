"""What only a phone knows of the network between it and a computer; it tells it when it has linked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.models import NAME_PATTERN

MAX_ATTEMPTS = 16

DialOutcome = Literal["refused", "timeout", "unreachable", "certificate", "failed"]
"""How dialling ended: nobody listens, nobody answers, no way leads there, somebody else answers, or another reason."""
AdvertisingState = Literal["off", "on", "failed"]


@dataclass(frozen=True)
class DialAttempt:
    """An address of the computer at which the phone got no link, how the last attempt ended, and how many there were."""

    address: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    port: int = field(metadata={"ge": 1, "le": 65535})
    outcome: DialOutcome
    times: int = field(metadata={"ge": 1})


@dataclass(frozen=True)
class NetworkReport:
    """`time_ns` is the phone's clock, in nanoseconds since the epoch; `mdns` whether it announces itself.

    `was_knocked` says that a knock made it dial. `failed` are the attempts since its last link.
    """

    time_ns: int
    mdns: AdvertisingState
    was_knocked: bool = False
    failed: tuple[DialAttempt, ...] = field(default=(), metadata={"max_length": MAX_ATTEMPTS})
