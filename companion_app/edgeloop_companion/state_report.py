"""This device's state, kept up to date for the daemons that it is linked to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from edgeloop_companion.phone.life_cycle import LifeCycle
from edgeloop_companion.phone.vitals import VitalsReader
from edgeloop_shared.device_states import DeviceState, Vitals

READ_SECONDS = 20.0
_CELSIUS = 1.0
_SHARE_OF_STORAGE = 0.02


class StateReport:
    """What a daemon is told of this device. `changed` is called on the event loop when there is news worth a message."""

    def __init__(
        self,
        vitals: VitalsReader,
        life_cycle: LifeCycle,
        changed: Callable[[], None],
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._vitals = vitals
        self._life_cycle = life_cycle
        self._changed = changed
        self._read_seconds = read_seconds
        self._read: Vitals | None = None

    @property
    def state(self) -> DeviceState:
        """The state now, with the vitals that were told last."""
        return DeviceState(self._life_cycle.activity, self._read or Vitals())

    async def run(self) -> None:
        """Read the vitals now and again until cancelled, and tell of changes."""
        self._life_cycle.on_activity.append(self._changed)
        try:
            while True:
                vitals = await asyncio.to_thread(self._vitals.read)
                if self._read is None or is_news(self._read, vitals):
                    self._read = vitals
                    self._changed()
                await asyncio.sleep(self._read_seconds)
        finally:
            with contextlib.suppress(ValueError):
                self._life_cycle.on_activity.remove(self._changed)


def is_news(told: Vitals, read: Vitals) -> bool:
    """Return whether `read` differs from what was told by more than flutter."""
    return (
        (told.battery_percent, told.is_charging, told.throttling, told.is_storage_low)
        != (read.battery_percent, read.is_charging, read.throttling, read.is_storage_low)
        or _differ(told.battery_celsius, read.battery_celsius, _CELSIUS)
        or _differ(told.processor_celsius, read.processor_celsius, _CELSIUS)
        or _differ(told.free_bytes, read.free_bytes, _SHARE_OF_STORAGE * (told.free_bytes or 0))
    )


def _differ(told: float | None, read: float | None, by: float) -> bool:
    if told is None or read is None:
        return told is not read
    return abs(read - told) > by
