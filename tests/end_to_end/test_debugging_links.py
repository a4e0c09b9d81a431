"""A debug session over a cable that can be pulled out, with a virtual device at its other end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cable_parts import laid
from daemon.device_daemon import device_daemon
from dap_client import DapClient
from end_to_end.test_debug_channels import device_at, paired

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.debugging.device_runs import DeviceRuns
from edgeloop_daemon.debugging.editor import Editor
from edgeloop_daemon.debugging.sessions import open_debugging
from edgeloop_daemon.devices.bundles import RunWorkspace

LINKED = "select 1 from events where kind = 'device.linked'"


@pytest.mark.timeout(180)
async def test_a_paused_session_outlives_its_link_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(device_daemon(tmp_path))
        await daemon.pairing.open()
        cable = await stack.enter_async_context(laid(daemon.port))
        options = await paired(daemon, tmp_path, cable)
        script = daemon.workspace.root / "task.py"
        script.write_text("total = 0\nfor i in range(4):\n    total += i\nprint('total', total)\n")

        async def find(_: Path) -> RunWorkspace:
            return daemon.workspace

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

            cable.cut()
            await user.output("The link to the device is lost")
            await user.output("The device is back")

            frame = await user.top(thread)
            assert (frame["line"], await user.value("total", frame["id"])) == (3, "1")
            await user.request("continue", threadId=thread)
            await user.output("total 6")
            await user.event("terminated")
            await user.close()
