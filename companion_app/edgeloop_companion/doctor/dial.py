"""Dialling computers to see what happens: as far as the certificate, without becoming a link."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeloop_companion.link.device_port import OneConnection, device_port, device_url
from edgeloop_companion.link.dialling import outcome_of
from edgeloop_companion.link.pairing import Pairing
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.network_reports import DialOutcome
from edgeloop_shared.networks import OwnAddress, is_on_link

SECONDS = 5.0


@dataclass(frozen=True)
class Dialled:
    """What happened at one address. `clock_offset` is by how many seconds this clock is ahead, to about a second."""

    pairing: Pairing
    address: str
    is_on_link: bool
    outcome: DialOutcome | Literal["answered"]
    clock_offset: float | None = None


async def dial_all(
    pairings: Sequence[Pairing], own: Sequence[OwnAddress], seconds: float = SECONDS
) -> tuple[Dialled, ...]:
    """Dial every address of every pairing, all at once; who has not answered after `seconds` is silent."""
    dials = [_dial(pairing, address, own, seconds) for pairing in pairings for address in pairing.addresses]
    return tuple(await asyncio.gather(*dials))


async def _dial(pairing: Pairing, address: str, own: Sequence[OwnAddress], seconds: float) -> Dialled:
    on_link = is_on_link(address, own)
    try:
        async with asyncio.timeout(seconds), device_port(OneConnection(pairing.pin)) as port:
            url = device_url(address, pairing.port, "/v1/link")
            # It is answered with the challenge that begins a link, and with the time.
            async with port.request("GET", url, accept=(401,)) as response:
                now, said = time.time(), response.headers.get("Date", "")
    except EdgeloopError as error:
        return Dialled(pairing, address, on_link, outcome_of(error))
    except TimeoutError:
        return Dialled(pairing, address, on_link, "timeout")
    return Dialled(pairing, address, on_link, "answered", _offset(now, said))


def _offset(now: float, said: str) -> float | None:
    try:
        there = email.utils.parsedate_to_datetime(said).timestamp()
    except (ValueError, TypeError):
        return None
    return now - (there + 0.5)  # it tells whole seconds
