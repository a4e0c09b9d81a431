"""What linked devices report of themselves, as the daemon shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daemon.device_daemon import DeviceDaemon
from daemon.device_peer import SECONDS, Identity, link

from edgeloop_daemon.events.event_log import open_event_log
from edgeloop_daemon.events.kinds import DeviceReported
from edgeloop_shared.codec import encode
from edgeloop_shared.device_states import DeviceState, Vitals
from edgeloop_shared.messages import encode_message

WELL = DeviceState("foreground", Vitals(battery_percent=80, is_charging=True, battery_celsius=30.0, free_bytes=10**10))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - it is read, not told
            await asyncio.sleep(0.01)


def shown(daemon: DeviceDaemon) -> DeviceState | None:
    return daemon.devices.list()[0].state


async def reports(daemon: DeviceDaemon) -> list[Any]:
    async with open_event_log(daemon.database) as log:
        return [event.data for event in (await log.page(0, limit=100)).items if event.kind == "device.state"]


async def test_a_device_is_shown_as_it_introduced_itself_until_it_says_something_new_or_is_gone(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    assert shown(daemon) is None
    async with link(phone, state=WELL) as linked:
        await until(lambda: shown(daemon) == WELL)
        asleep = replace(WELL, activity="background")
        await linked.socket.send_str(encode_message(asleep))
        await until(lambda: shown(daemon) == asleep)
    await daemon.unlinked()
    assert shown(daemon) is None


async def test_a_device_that_reports_nothing_is_shown_without_a_state(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone):
        assert daemon.devices.list()[0].is_linked
        assert shown(daemon) is None


async def test_a_flood_of_reports_costs_one_event_and_the_last_one_counts(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    async with link(phone, state=WELL) as linked:
        for percent in range(100):
            await linked.socket.send_str(encode_message(DeviceState(vitals=Vitals(battery_percent=percent))))
        last = DeviceState("background", Vitals(battery_percent=7, free_bytes=1000, processor_celsius=70.5))
        await linked.socket.send_str(encode_message(last))
        await until(lambda: shown(daemon) == last)
        told = DeviceReported(phone.id, "background", 7, 70.5, is_storage_low=True)
        async with asyncio.timeout(SECONDS):
            while (found := await reports(daemon))[-1:] != [encode(told)]:  # noqa: ASYNC110 - it is read, not told
                await asyncio.sleep(0.05)
        assert len(found) == 1


async def test_a_report_that_cannot_be_ends_the_link(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        await linked.socket.send_str('{"type": "device-state", "activity": null, "vitals": {"battery_percent": 101}}')
        assert await linked.closed() == 1002
    assert shown(daemon) is None
