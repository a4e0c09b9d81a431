"""The places of the bar, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from edgeloop_companion.companion import Companion
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.store.computers import Computers
from edgeloop_companion.store.device_facts import DeviceFactsStore
from edgeloop_companion.store.doctor import DoctorStore
from edgeloop_companion.store.event_feed import EventFeed
from edgeloop_companion.store.pairing_attempt import PairingAttempt
from edgeloop_companion.store.settings import SettingsStore
from edgeloop_companion.store.tasks import Tasks
from edgeloop_companion.ui.fonts import Fonts
from edgeloop_companion.ui.navigation import Destination, Navigation
from edgeloop_companion.ui.screens.computers import ComputersScreen
from edgeloop_companion.ui.screens.device import DeviceScreen
from edgeloop_companion.ui.screens.doctor import DoctorScreen
from edgeloop_companion.ui.screens.pair import PairScreen
from edgeloop_companion.ui.screens.settings import SettingsScreen
from edgeloop_companion.ui.screens.tasks import TasksScreen
from edgeloop_shared.models import DeviceInfo


@dataclass(frozen=True)
class Parts:
    """What the screens are built from."""

    info: DeviceInfo
    companion: Companion
    events: EventFeed
    state_folder: StateFolder
    settings: SettingsStore
    device_facts: DeviceFactsStore
    tasks: Tasks
    doctor: DoctorStore
    fonts: Fonts
    pairing: PairingAttempt
    computers: Computers


def _device(parts: Parts, navigation: Navigation) -> DeviceScreen:
    doctor = DoctorScreen(parts.doctor)
    return DeviceScreen(parts.info, parts.device_facts, lambda: navigation.open(doctor))


def destinations(parts: Parts) -> tuple[Destination, ...]:
    """Return the places of the bar in their order."""
    return (
        Destination("computers", "computer", lambda navigation: _computers(parts, navigation)),
        Destination("tasks", "tasks", lambda navigation: TasksScreen(parts.tasks, navigation)),
        Destination("device", "chip", lambda navigation: _device(parts, navigation)),
        Destination("settings", "sliders", lambda _: SettingsScreen(parts.settings, parts.fonts)),
    )


def _computers(parts: Parts, navigation: Navigation) -> ComputersScreen:
    def pair() -> None:
        navigation.open(PairScreen(parts.pairing, parts.settings, finished=navigation.back))

    return ComputersScreen(parts.computers, pair)
