"""Worker processes: one per running task, each the leader of a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edgeloop_companion.runtime.order import Order
from edgeloop_shared.codec import encode_json

BUFFER_BYTES = 64 * 1024  # of each pipe; what a worker prints beyond it waits in the worker
TERMINATE_SECONDS = 2.0
LINGER_SECONDS = 1.0


class Pipe:
    """The reading end of a worker's pipe. Nothing is read ahead of `read` but one small buffer."""

    def __init__(
        self, reader: asyncio.StreamReader, transport: asyncio.BaseTransport, exited: asyncio.Future[int]
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._exited = exited

    async def read(self, size: int = BUFFER_BYTES) -> bytes:
        """Return up to `size` bytes; nothing at the end.

        The end also comes when the worker is gone and the pipe stays silent: a process that it left behind may hold it open.
        """
        read = asyncio.ensure_future(self._reader.read(size))
        ends: set[asyncio.Future[bytes] | asyncio.Future[int]] = {read, self._exited}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.wait_for(read, LINGER_SECONDS)
        except TimeoutError:
            return b""
        finally:
            read.cancel()

    def close(self) -> None:
        """Let go of the pipe."""
        self._transport.close()


class Worker(Protocol):
    """A running worker: what it prints, what its script reports, its own words, and how it ends."""

    stdout: Pipe
    stderr: Pipe
    reports: Pipe
    status: Pipe
    exited: asyncio.Future[int]
    """The exit code; a negative one is the signal that ended the worker."""

    async def end(self) -> None:
        """Ask the worker to stop, kill it soon after, and wait until nothing of it is left."""

    def close(self) -> None:
        """Let go of the pipes."""


class WorkerStarter(Protocol):
    """Starts workers; an Android service can stand here, where no process may be started from Python."""

    async def start(self, order: Order, folder: Path) -> Worker:
        """Start a worker with the working directory `folder`. Raises `OSError` when the system has no room for one."""


class Workers:
    """The running workers of this device, at most `limit` at a time; who comes later waits for its turn."""

    def __init__(self, starter: WorkerStarter, *, limit: int = 8) -> None:
        self._starter = starter
        self._slots = asyncio.Semaphore(limit)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[WorkerStarter]:
        """Hold one of the places for a worker."""
        async with self._slots:
            yield self._starter


class ProcessStarter:
    """Workers as child processes of the companion: Linux and macOS."""

    async def start(self, order: Order, folder: Path) -> ProcessWorker:
        """Start `python -m edgeloop_companion.runtime.worker`."""
        starting = asyncio.create_task(self._start(order, folder))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # a process that is half started must not be left to itself
            worker = await starting
            await worker.end()
            worker.close()
            raise

    async def _start(self, order: Order, folder: Path) -> ProcessWorker:
        loop = asyncio.get_running_loop()
        pipes = [os.pipe() for _ in range(4)]
        ours, theirs = [pair[0] for pair in pipes], [pair[1] for pair in pipes]
        try:
            process = await asyncio.to_thread(_spawn, theirs, folder)
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        exited: asyncio.Future[int] = loop.create_future()
        threading.Thread(target=_reap, args=(process, loop, exited), name=f"reap-{process.pid}", daemon=True).start()
        order = replace(order, reports=theirs[2], status=theirs[3])
        opened = [await _open(descriptor, exited) for descriptor in ours]
        worker = ProcessWorker(process, exited, opened)
        try:
            await asyncio.to_thread(worker.tell, encode_json(order) + b"\n")
        except BaseException:
            await worker.end()
            raise
        return worker


class ProcessWorker:
    """A worker that is a child process."""

    def __init__(self, process: subprocess.Popen[bytes], exited: asyncio.Future[int], pipes: list[Pipe]) -> None:
        self._process = process
        self._pipes = pipes
        self.exited = exited
        self.stdout, self.stderr, self.reports, self.status = pipes

    def tell(self, order: bytes) -> None:
        """Write the order. The pipe stays open: its end tells the worker that the companion is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died already; how, its exit says
            self._process.stdin.write(order)
            self._process.stdin.flush()

    async def end(self) -> None:
        """Ask the worker's group to stop with SIGTERM, and kill it after `TERMINATE_SECONDS`."""
        if not self.exited.done():
            self._signal(signal.SIGTERM)
            await asyncio.wait({self.exited}, timeout=TERMINATE_SECONDS)
        if not self.exited.done():
            self._signal(signal.SIGKILL)
            await asyncio.wait({self.exited})
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in self._pipes:
            pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            _signal_group(self._process.pid, number)


def _spawn(inherited: list[int], folder: Path) -> subprocess.Popen[bytes]:
    stdout, stderr, reports, status = inherited
    return subprocess.Popen(
        # -P: a file of the task must not stand in for a module that the worker itself needs
        [sys.executable, "-P", "-m", "edgeloop_companion.runtime.worker"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        pass_fds=(reports, status),
        start_new_session=True,
    )


async def _open(descriptor: int, exited: asyncio.Future[int]) -> Pipe:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=BUFFER_BYTES, loop=loop)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(descriptor, "rb", buffering=0)
    )
    return Pipe(reader, transport, exited)


def _reap(process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, exited: asyncio.Future[int]) -> None:
    """Wait for the worker in a thread of its own, and end what it left behind in its group."""
    if hasattr(os, "waitid"):  # while it is a zombie its number belongs to no other process
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _signal_group(process.pid, signal.SIGKILL)
        code = process.wait()
    else:
        code = process.wait()
        _signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
        loop.call_soon_threadsafe(exited.set_result, code)


def _signal_group(process_id: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        os.killpg(process_id, number)
