"""Looking at a device, so that the checks have something to judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgeloop_companion.companion import Companion
from edgeloop_companion.doctor.dial import dial_all
from edgeloop_companion.doctor.subject import Advertised, Subject
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.phone.phone import Phone
from edgeloop_shared.errors import EdgeloopError


async def looked_at(
    phone: Phone,
    pairings: Sequence[Pairing],
    *,
    advertised: Advertised | None = None,
    unreadable: EdgeloopError | None = None,
) -> Subject:
    """Return the device as it is: all its computers are dialled, which takes some seconds where one does not answer."""
    vitals = await asyncio.to_thread(phone.vitals.read)
    addresses = await asyncio.to_thread(lambda: phone.load_advertiser().addresses())
    dialled = await dial_all([pairing for pairing in pairings if pairing.is_on], addresses)
    return Subject(addresses, pairings, dialled, vitals, advertised, unreadable)


async def look_at_companion(companion: Companion, phone: Phone) -> Subject:
    """Return the device whose companion runs in this process."""
    return await looked_at(phone, companion.pairings, advertised=advertised_by(companion))


def advertised_by(companion: Companion) -> Advertised:
    """Return how announcing goes."""
    advertising = companion.advertising
    knocked_by = tuple(host.pairing.host_name for host in companion.hosts if host.was_knocked)
    return Advertised(advertising.state, advertising.problem, knocked_by)
