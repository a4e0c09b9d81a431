"""A run that waits at an operator while its device's link is lost: it waits on, is answered afterwards, and is nobody else's."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import Process
from pathlib import Path

import pytest
from cable_parts import Cable
from daemon.device_daemon import DeviceDaemon
from end_to_end.test_debug_channels import cable, daemon, device
from end_to_end.test_operator_breakpoints import SCRIPT

from edgeloop_daemon.debugging.breakpoints import Breakpoints, NewBreakpoint
from edgeloop_daemon.devices.operator_control import OperatorControl
from edgeloop_daemon.devices.operator_stops import OperatorStop
from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.errors import DeviceUnavailableError, NotFoundError
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_control import AnswerStop, ReadTensor, ReplaceTensor

__all__ = ["cable", "daemon", "device"]  # the fixtures


async def waiting(daemon: DeviceDaemon, selector: str) -> tuple[Run, OperatorStop]:
    """Start a run that waits at an operator; return it, and its stop, once it does."""
    found = await Breakpoints(daemon.database).for_run(
        "w1", [NewBreakpoint(kind="operator", selector=selector, action="wait")]
    )
    run = await daemon.runs.start(daemon.workspace, "infer.py", include=("planted.mnn",), breakpoints=found)
    while not (stops := await daemon.runs.operator_stops(run.id)):
        await daemon.runs.change(run.id).wait()
    return run, stops[0]


async def test_a_run_waits_on_over_a_link_that_is_lost(
    daemon: DeviceDaemon, device: Process, cable: Cable, planted: Path
) -> None:
    shutil.copy(planted, daemon.workspace.root)
    (daemon.workspace.root / "infer.py").write_text(SCRIPT)
    while not any(one.is_linked for one in daemon.devices.list()):  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # nothing tells
    control = OperatorControl(daemon.channels)
    async with asyncio.timeout(90):
        run, stop = await waiting(daemon, "op:root")
        other, second = await waiting(daemon, "op:root before")
        cable.cut()
        part = None
        while part is None:
            try:
                part = await control.ask(run.id, ReadTensor(stop.stop, "out", 0, "1,1"))
            except DeviceUnavailableError:
                await asyncio.sleep(0.02)  # until the device has linked again
        assert part.values == ("nan",)
        await control.ask(other.id, ReplaceTensor(second.stop, 0, fill=0.25))
        await control.ask(other.id, AnswerStop(second.stop, "skip"))
        assert (await daemon.runs.get(other.id, wait=30)).state is RunState.SUCCEEDED
        assert (await daemon.runs.get(run.id)).message == "paused at root"
        await control.ask(run.id, AnswerStop(stop.stop, "continue"))
        assert (await daemon.runs.get(run.id, wait=30)).state is RunState.SUCCEEDED
        with pytest.raises(NotFoundError):
            await control.ask(run.id, AnswerStop(stop.stop, "continue"))
    assert [hit.answer for hit in await daemon.runs.operator_hits(run.id)] == ["continue"]
    assert [hit.answer for hit in await daemon.runs.operator_hits(other.id)] == ["skip"]
