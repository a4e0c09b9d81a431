"""What the checks are given to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeloop_companion.doctor.dial import Dialled
from edgeloop_companion.link.pairing import Pairing
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.network_reports import AdvertisingState
from edgeloop_shared.networks import OwnAddress


@dataclass(frozen=True)
class Advertised:
    """How announcing goes, as the running app knows it. `knocked_by` are the computers whose knock led to their link."""

    state: AdvertisingState
    problem: str
    knocked_by: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A device. `advertised` is None where its app does not run in this process; `unreadable` says why pairings are not known."""

    addresses: Sequence[OwnAddress]
    pairings: Sequence[Pairing]
    dialled: Sequence[Dialled]
    vitals: Vitals
    advertised: Advertised | None = None
    unreadable: EdgeloopError | None = None
