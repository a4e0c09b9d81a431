"""The devices that are paired: their keys and what they say of themselves, in the database and at hand in memory."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, field, replace

from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import DeviceLinked, DevicePaired, DeviceRevoked, DeviceUnlinked
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import NotFoundError, StorageError
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.proofs import KEY_BYTES

_MAX_INFO_BYTES = 64 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairedDevice:
    """A device that may link. Times are seconds since the UNIX epoch."""

    id: str
    key: bytes = field(repr=False)
    info: DeviceInfo
    paired_at: float
    last_seen: float | None


class Registry:
    """All paired devices. Revoked ones stay in the database, without their key, because runs refer to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._devices: dict[str, PairedDevice] = {}

    async def load(self) -> None:
        """Read the devices of earlier daemons."""
        sql = "select id, device_key, info_json, paired_at, last_seen from devices where revoked_at is null"
        rows = await self._database.read(lambda db: list(db.query(sql + " order by paired_at")))
        for row in rows:
            info = decode_json(DeviceInfo, row["info_json"], max_bytes=_MAX_INFO_BYTES)
            device = PairedDevice(row["id"], row["device_key"], info, row["paired_at"], row["last_seen"])
            self._devices[device.id] = device

    def __len__(self) -> int:
        return len(self._devices)

    def list(self) -> tuple[PairedDevice, ...]:
        """Return all paired devices, the oldest first."""
        return tuple(self._devices.values())

    def find(self, device_id: str) -> PairedDevice | None:
        """Return the device, or None when it is unknown or revoked."""
        return self._devices.get(device_id)

    def get(self, device_id: str) -> PairedDevice:
        """Return the device. Raises `NotFoundError`."""
        device = self._devices.get(device_id)
        if device is None:
            raise NotFoundError(f"There is no paired device {device_id[:64]!r}.", hint="`edgeloop devices` lists them.")
        return device

    async def add(self, info: DeviceInfo) -> PairedDevice:
        """Make an identity and a key for a device that has just proved that it may pair."""
        device = PairedDevice(new_id("d"), secrets.token_bytes(KEY_BYTES), info, time.time(), None)

        def insert(db: Tables) -> None:
            db.execute(
                "insert into devices (id, device_key, info_json, paired_at) values (?, ?, ?, ?)",
                [device.id, device.key, encode_json(info).decode(), device.paired_at],
            )
            record_event(db, DevicePaired(device.id, info.name))

        await self._database.write(insert)
        self._devices[device.id] = device
        return device

    async def linked(self, device_id: str, address: str, info: DeviceInfo) -> None:
        """Note that the device is linked from `address`, and what it says of itself."""
        await self._seen(device_id, DeviceLinked(device_id, address), info)

    async def unlinked(self, device_id: str) -> None:
        """Note that the device was linked until now."""
        await self._seen(device_id, DeviceUnlinked(device_id))

    async def _seen(self, device_id: str, event: DeviceLinked | DeviceUnlinked, info: DeviceInfo | None = None) -> None:
        known = self._devices.get(device_id)
        if known is None:
            return
        device = replace(known, last_seen=time.time(), info=info or known.info)
        self._devices[device_id] = device
        values = [device.last_seen, encode_json(device.info).decode(), device_id]
        sql = "update devices set last_seen = ?, info_json = ? where id = ?"

        def update(db: Tables) -> None:
            db.execute(sql, values)
            record_event(db, event)

        try:
            await self._database.write(update)
        except StorageError as error:  # that it was seen is no reason to send it away
            _log.warning("that device %s was seen is not noted: %s", device_id, error)

    async def revoke(self, device_id: str, *, by_device: bool = False) -> PairedDevice:
        """Forget the device's key: it can never link again. Whoever links while that is written has its link ended then.

        Raises `NotFoundError`, and `StorageError` when it cannot be stored: the device stays paired then.
        """
        device = self.get(device_id)
        sql = "update devices set revoked_at = ?, device_key = x'' where id = ? and revoked_at is null"

        def update(db: Tables) -> None:
            if db.execute(sql, [time.time(), device_id]).rowcount:  # else somebody else did it at the same time
                record_event(db, DeviceRevoked(device_id, by_device))

        await self._database.write(update)
        self._devices.pop(device_id, None)
        return device
