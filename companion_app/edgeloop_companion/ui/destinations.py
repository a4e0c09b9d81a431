"""The places of the bar, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from edgeloop_companion.companion import Companion
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.store.event_feed import EventFeed
from edgeloop_companion.store.settings import SettingsStore
from edgeloop_companion.ui.fonts import Fonts
from edgeloop_companion.ui.navigation import Destination
from edgeloop_companion.ui.screens.settings import SettingsScreen


@dataclass(frozen=True)
class Parts:
    """What the screens are built from."""

    companion: Companion
    events: EventFeed
    state_folder: StateFolder
    settings: SettingsStore
    fonts: Fonts


def destinations(parts: Parts) -> tuple[Destination, ...]:
    """Return the places of the bar in their order."""
    return (Destination("settings", "sliders", lambda _: SettingsScreen(parts.settings, parts.fonts)),)
