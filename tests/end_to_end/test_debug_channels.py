"""Debugging over the real link: a real daemon's channels, a virtual device as a process, and a cable that can be pulled out."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cable_parts import Cable, laid
from companion_app.debug_client import DebugClient
from daemon.device_daemon import DeviceDaemon, device_daemon

from edgeloop_daemon.devices.channels import Channel, Channels, ChannelState
from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.errors import ConflictError, DeviceUnavailableError, NotFoundError
from edgeloop_shared.models import RunState
from edgeloop_shared.pairing import parse_offer

LOOP = """
import pathlib, time
def step(count):
    time.sleep(0.005)
    count += 1
    return count
count = 0
while not pathlib.Path("stop").exists():
    count = step(count)
"""
LINE = 5  # of LOOP: in `step`


@contextlib.asynccontextmanager
async def device_at(state: Path, *options: str) -> AsyncIterator[Process]:
    """Run a virtual device, called as its state folder is, as a process for the block."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "edgeloop_companion",
            "--state",
            str(state),
            "--name",
            state.name,
            "--virtual",
            *options,
        ),
        stdout=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def paired(daemon: DeviceDaemon, tmp_path: Path, cable: Cable | None = None) -> tuple[str, ...]:
    """Return the options by which a device pairs with a daemon, through a cable perhaps."""
    offer = parse_offer((await daemon.pairing.open()).offer)
    if cable is not None:
        offer = replace(offer, port=cable.port)
    path = tmp_path / "offer"
    path.write_text(offer.text())
    return "--allow", "--pair-offer-file", str(path)


async def start(daemon: DeviceDaemon, **options: Any) -> Run:
    """Start a run as soon as a device is linked."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await daemon.runs.start(daemon.workspace, "task.py", **options)
            except (DeviceUnavailableError, NotFoundError):
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        (running.workspace.root / "task.py").write_text(LOOP)
        yield running


@pytest_asyncio.fixture
async def cable(daemon: DeviceDaemon) -> AsyncIterator[Cable]:
    await daemon.pairing.open()
    async with laid(daemon.port) as cable:
        yield cable


@pytest_asyncio.fixture
async def device(daemon: DeviceDaemon, cable: Cable, tmp_path: Path) -> AsyncIterator[Process]:
    async with device_at(tmp_path / "phone", *await paired(daemon, tmp_path, cable)) as process:
        yield process


def client_over(channel: Channel) -> DebugClient:
    return DebugClient(channel.send, channel.receive)


def path_of(run: Run, tmp_path: Path, device: str = "phone") -> str:
    (path,) = (tmp_path / device / "hosts").glob(f"*/runs/{run.id}/files/task.py")
    return str(path)


async def stop(client: DebugClient, thread: int, frame: dict[str, object]) -> None:
    """Let the loop end."""
    await client.evaluate("pathlib.Path('stop').touch()", frame)
    await client.ask("continue", threadId=thread)


async def test_a_session_goes_on_over_a_link_that_is_lost_while_the_script_is_paused(
    daemon: DeviceDaemon, device: Process, cable: Cable, tmp_path: Path
) -> None:
    run = await start(daemon, debug="wait")
    channels: Channels = daemon.channels
    async with asyncio.timeout(60), channels.open(run.id) as channel:
        client = client_over(channel)
        await client.attach({path_of(run, tmp_path): [LINE]})
        thread, frames = await client.stopped()
        before = await client.evaluate("count", frames[0])
        number = await client.request("evaluate", expression="'x' * 50_000", frameId=frames[0]["id"])
        cable.cut()
        assert await channel.changed(ChannelState.OPEN) is ChannelState.LINK_LOST
        assert await channel.changed(ChannelState.LINK_LOST) is ChannelState.OPEN
        answer = await client.response(number)
        assert answer["result"] == repr("x" * 50_000)
        cable.cuts = [cable.carried + 150_000]  # in the middle of an answer
        for length in range(20_000, 20_012):
            assert await client.evaluate(f"'x' * {length}", frames[0]) == repr("x" * length)
        assert cable.cuts == []
        assert await client.evaluate("count", frames[0]) == before
        await stop(client, thread, frames[1])
        while await channel.receive():
            pass
        assert channel.end is None
        assert channel.state is ChannelState.ENDED
    assert (await daemon.runs.get(run.id, wait=30)).state is RunState.SUCCEEDED


async def test_a_second_debugger_is_refused_until_the_first_has_gone(
    daemon: DeviceDaemon, device: Process, tmp_path: Path
) -> None:
    run = await start(daemon, debug="listen")
    async with asyncio.timeout(60):
        async with daemon.channels.open(run.id) as channel:
            await client_over(channel).attach({path_of(run, tmp_path): [LINE]})
            with pytest.raises(ConflictError, match="Another debugger"):
                async with daemon.channels.open(run.id):
                    pass
        async with daemon.channels.open(run.id) as channel:
            client = client_over(channel)
            await client.attach({path_of(run, tmp_path): [LINE]})
            thread, frames = await client.stopped()
            await client.ask("setBreakpoints", source={"path": path_of(run, tmp_path)}, breakpoints=[])
            await stop(client, thread, frames[1])
        assert (await daemon.runs.get(run.id, wait=30)).state is RunState.SUCCEEDED


async def test_a_run_that_has_ended_has_no_debugger(daemon: DeviceDaemon, device: Process) -> None:
    (daemon.workspace.root / "task.py").write_text("print(1)")
    run = await start(daemon)
    assert (await daemon.runs.get(run.id, wait=30)).state is RunState.SUCCEEDED
    with pytest.raises(NotFoundError, match="not at work"):
        async with daemon.channels.open(run.id):
            pass


async def test_two_computers_debug_on_one_phone_and_one_of_them_on_two_phones(
    daemon: DeviceDaemon, device: Process, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    async with asyncio.timeout(90), device_daemon(tmp_path / "other") as other, contextlib.AsyncExitStack() as stack:
        (other.workspace.root / "task.py").write_text(LOOP)
        await start(daemon, device="phone")  # it has paired
        device.terminate()  # and is started anew to pair with the second computer, and keeps the first
        await device.wait()
        for owner, name in ((other, "phone"), (daemon, "tablet")):
            await stack.enter_async_context(device_at(tmp_path / name, *await paired(owner, tmp_path)))
            await start(owner, device=name)
        paused = []
        for owner, name in ((daemon, "phone"), (daemon, "tablet"), (other, "phone")):
            run = await start(owner, device=name, debug="wait")
            client = client_over(await stack.enter_async_context(owner.channels.open(run.id)))
            await client.attach({path_of(run, tmp_path, name): [LINE]})
            paused.append((owner, run, client, await client.stopped()))
        for owner, run, client, (thread, frames) in reversed(paused):
            assert await client.evaluate("count", frames[0]) == "0"
            await stop(client, thread, frames[1])
            assert (await owner.runs.get(run.id, wait=30)).state is RunState.SUCCEEDED
