"""Runs and channels for tests of debug sessions without a device: a real task under a real debugpy, on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeloop_daemon.debugging.records import SessionPlan
from edgeloop_daemon.devices.channels import DEBUGGER, Channel, ChannelState
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import LogPage
from edgeloop_shared.channels import LOST_SECONDS
from edgeloop_shared.errors import DeviceVanishedError, EdgeloopError, NotFoundError
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import LogLine

DEBUGGEE = Path(__file__).with_name("debuggee.py")


class LoopbackChannel:
    """A channel over a connection; `cut` and `heal` lose its link and bring it back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._healthy = asyncio.Event()
        self._healthy.set()
        self._moved = asyncio.Event()
        self._state = ChannelState.OPEN
        self.end: EdgeloopError | None = None

    @property
    def state(self) -> ChannelState:
        return self._state

    async def changed(self, seen: ChannelState) -> ChannelState:
        while self._state is seen:
            self._moved.clear()
            await self._moved.wait()
        return self._state

    async def send(self, data: bytes) -> None:
        await self._healthy.wait()
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        try:
            data = await self._reader.read(65536)
        except ConnectionError:
            data = b""
        await self._healthy.wait()
        if not data:
            self._become(ChannelState.ENDED)
        return data

    async def listen(self, heard: Callable[[bytes], None]) -> None:
        while data := await self.receive():
            heard(data)

    def cut(self) -> None:
        self._healthy.clear()
        self._become(ChannelState.LINK_LOST)

    def heal(self) -> None:
        self._healthy.set()
        self._become(ChannelState.OPEN)

    def vanish(self) -> None:
        self.end = DeviceVanishedError("The device was away for 30 s.")
        self._healthy.set()
        self._writer.close()

    def _become(self, state: ChannelState) -> None:
        self._state = state
        self._moved.set()

    async def close(self) -> None:
        self._writer.close()
        self._become(ChannelState.ENDED)


@dataclass
class _Task:
    run: Run
    process: asyncio.subprocess.Process
    port: int
    lines: list[LogLine] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    channel: LoopbackChannel | None = None


class LocalTasks:
    """Runs (`DebuggedRuns`) and channels (`Channels`) of tasks on this computer."""

    def __init__(self) -> None:
        self.tasks: dict[str, _Task] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def start(self, plan: SessionPlan) -> Run:
        assert plan.script is not None
        if not (plan.workspace.root / plan.script).is_file():
            raise NotFoundError(f"There is no script {plan.script} in the workspace.")
        command = (sys.executable, "-Xfrozen_modules=off", str(DEBUGGEE), str(plan.workspace.root), plan.script, "wait")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        name = f"r{len(self.tasks)}"
        run = Run(
            *(name, plan.workspace.id, "d1", plan.script, plan.arguments, False, RunState.RUNNING, None, None, None),
            *("wait", time.time(), time.time(), None, False, {}, (), (), None),
        )
        self.tasks[name] = task = _Task(run, process, port)
        reading = asyncio.create_task(self._read(task))
        self._reading.add(reading)
        return run

    async def _read(self, task: _Task) -> None:
        assert task.process.stdout is not None
        async for line in task.process.stdout:
            task.lines.append(LogLine(time.time_ns(), "stdout", line.decode().rstrip("\n")))
            task.moved.set()
        code = await task.process.wait()
        if not task.run.state.is_terminal:
            task.run = replace(task.run, state=RunState.SUCCEEDED if code == 0 else RunState.FAILED)
        task.ended.set()
        task.moved.set()

    async def get(self, run_id: str, wait: float = 0.0) -> Run:
        task = self._task(run_id)
        try:
            async with asyncio.timeout(wait):
                await task.ended.wait()
        except TimeoutError:
            pass
        return task.run

    async def log(self, run_id: str, offset: int = 0, limit: int = 65536, wait: float = 0.0) -> LogPage:
        task = self._task(run_id)
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            if lines := tuple(task.lines[offset:]):
                return LogPage(lines, len(task.lines), ended=False)
            if task.ended.is_set():
                return LogPage((), offset, ended=True)
            task.moved.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await task.moved.wait()
            except TimeoutError:
                return LogPage((), offset, ended=False)

    async def cancel(self, run_id: str) -> Run:
        task = self._task(run_id)
        if not task.run.state.is_terminal:
            task.run = replace(task.run, state=RunState.CANCELLED)
            task.process.kill()
        return task.run

    @asynccontextmanager
    async def open(
        self, run_id: str, purpose: str = DEBUGGER, *, lost_seconds: float = LOST_SECONDS
    ) -> AsyncIterator[Channel]:
        task = self._task(run_id)
        reader, writer = await asyncio.open_connection("127.0.0.1", task.port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task.channel = LoopbackChannel(reader, writer)
        try:
            yield task.channel
        finally:
            await task.channel.close()

    def channel(self, run_id: str) -> LoopbackChannel:
        channel = self._task(run_id).channel
        assert channel is not None
        return channel

    def _task(self, run_id: str) -> _Task:
        if run_id not in self.tasks:
            raise NotFoundError(f"There is no run {run_id}.")
        return self.tasks[run_id]

    async def close(self) -> None:
        """End all tasks."""
        for task in self.tasks.values():
            if task.process.returncode is None:
                task.process.kill()
        await asyncio.gather(*self._reading, return_exceptions=True)
        for task in self.tasks.values():
            await task.process.wait()
