"""A debug session over a cable that can be pulled out, with a virtual device at its other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cable_parts import Cable, laid
from daemon.device_daemon import DeviceDaemon, device_daemon
from dap_client import DapClient
from end_to_end.test_debug_channels import device_at, paired

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.device_runs import DeviceRuns
from edgeloop_daemon.debugging.editor import Editor
from edgeloop_daemon.debugging.sessions import open_debugging
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_shared.models import RunState

LINKED = "select 1 from events where kind = 'device.linked'"


@dataclass(frozen=True)
class Desk:
    """A user in an editor, whose script has stopped on the device at the other end of the cable."""

    daemon: DeviceDaemon
    cable: Cable
    user: DapClient
    thread: int
    run: str

    def unplug(self) -> None:
        self.cable.is_plugged_in = False
        self.cable.cut()

    async def goes_on_where_it_was(self) -> None:
        await self.user.output("The device is back")
        frame = await self.user.top(self.thread)
        assert (frame["line"], await self.user.value("total", frame["id"])) == (3, "1")
        await self.user.request("continue", threadId=self.thread)
        await self.user.output("total 6")
        await self.user.event("terminated")


@asynccontextmanager
async def stopped(tmp_path: Path, *, vanish_seconds: float = 30.0, lost_seconds: float = 600.0) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(device_daemon(tmp_path, vanish_seconds=vanish_seconds))
        await daemon.pairing.open()
        cable = await stack.enter_async_context(laid(daemon.port))
        options = await paired(daemon, tmp_path, cable)
        script = daemon.workspace.root / "task.py"
        script.write_text("total = 0\nfor i in range(4):\n    total += i\nprint('total', total)\n")

        async def find(_: Path) -> RunWorkspace:
            return replace(daemon.workspace, debug_lost_seconds=lost_seconds)

        breakpoints = Breakpoints(daemon.database)
        runs = DeviceRuns(daemon.runs, breakpoints)
        async with (
            device_at(tmp_path / "phone", *options),
            open_debugging(daemon.database, breakpoints, runs, daemon.channels, find) as sessions,
        ):
            async with asyncio.timeout(60):
                while not await daemon.database.read(lambda db: db.execute(LINKED).fetchall()):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            pieces: asyncio.Queue[bytes] = asyncio.Queue()
            user = DapClient(Editor(sessions, pieces.put_nowait, folder=str(tmp_path)).feed, pieces.get)
            await user.begin(task="task.py", breakpoints={str(script): [{"line": 3, "condition": "i == 2"}]})
            thread = await user.stopped("breakpoint")

            yield Desk(daemon, cable, user, thread, sessions.list()[0].run or "")
            await user.close()


@pytest.mark.timeout(180)
async def test_a_paused_session_outlives_its_link_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with stopped(tmp_path) as desk:
        desk.cable.cut()
        await desk.user.output("The link to the device is lost")
        await desk.goes_on_where_it_was()


@pytest.mark.timeout(180)
async def test_it_waits_for_longer_than_a_run_that_nobody_debugs(tmp_path: Path) -> None:
    async with stopped(tmp_path, vanish_seconds=0.2) as desk:
        desk.unplug()
        assert (await desk.daemon.runs.get(desk.run, wait=60)).may_return
        desk.cable.is_plugged_in = True
        await desk.goes_on_where_it_was()
        assert (await desk.daemon.runs.get(desk.run)).state is RunState.SUCCEEDED


@pytest.mark.timeout(180)
async def test_a_device_that_stays_away_ends_the_session_with_a_reason_and_the_script_goes_on(tmp_path: Path) -> None:
    async with stopped(tmp_path, lost_seconds=0.5) as desk:
        desk.unplug()
        await desk.user.output("ends when it stays away for 0.5 s")
        await desk.user.output("The link to the device was lost for 0.5 s; the script goes on.")
        await desk.user.event("terminated")
        desk.cable.is_plugged_in = True
        assert (await desk.daemon.runs.get(desk.run, wait=60)).state is RunState.SUCCEEDED
        said = (await desk.daemon.runs.log(desk.run)).items
        assert [line.text for line in said if line.source == "stdout"] == ["total 6"]
