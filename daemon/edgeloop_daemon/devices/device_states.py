"""What linked devices report of themselves: in the background or not, battery, heat, storage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import DeviceReported
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import StorageError

NOTE_SECONDS = 1.0  # whatever a device says, it costs no more than one transaction a second

_log = logging.getLogger(__name__)


class DeviceStates:
    """The last report of each linked device. That there is a new one becomes an event."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states: dict[str, DeviceState] = {}
        self._unnoted: set[str] = set()
        self._told = asyncio.Event()

    def get(self, device_id: str) -> DeviceState | None:
        """Return the device's last report, None when it is not linked or reports nothing."""
        return self._states.get(device_id)

    def tell(self, device_id: str, state: DeviceState) -> None:
        """Take a device's report."""
        if self._states.get(device_id) != state:
            self._states[device_id] = state
            self._unnoted.add(device_id)
            self._told.set()

    def forget(self, device_id: str) -> None:
        """The device's link has ended: how it is now, nobody knows."""
        self._states.pop(device_id, None)
        self._unnoted.discard(device_id)

    @contextlib.asynccontextmanager
    async def noting(self) -> AsyncIterator[None]:
        """Record events for the block."""
        noting = asyncio.create_task(self._note())
        try:
            yield
        finally:
            noting.cancel()
            await asyncio.wait({noting})

    async def _note(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            reports = [(device_id, self._states[device_id]) for device_id in sorted(self._unnoted)]
            self._unnoted.clear()
            try:
                await self._database.write(partial(_record, reports=reports))
            except StorageError as error:
                _log.warning("reports of devices are not noted: %s", error)
            await asyncio.sleep(NOTE_SECONDS)


def _record(db: Tables, reports: list[tuple[str, DeviceState]]) -> None:
    for device_id, state in reports:
        vitals = state.vitals
        record_event(
            db, DeviceReported(device_id, state.activity, vitals.battery_percent, vitals.celsius, vitals.is_storage_low)
        )
