"""What tasks share: memory, workers and the turns of those who wait for one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_companion.runtime.workers import Group, Workers
from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import TaskStarted, TaskWaiting

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import Run

MIB = 1024 * 1024


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer, max_workers=1):
        yield peer


def error_of(run: Run) -> Mapping[str, Any]:
    assert run.finished is not None
    assert run.finished.state is RunState.FAILED
    assert run.finished.error is not None
    return run.finished.error


async def sent(peer: LinkPeer, command: RunTask) -> Run:
    await peer.send(command)
    return peer.runs[command.run_id]


async def run_within(peer: LinkPeer, script: str, memory_bytes: int) -> Run:
    run = await sent(peer, replace(peer.command({"task.py": script}), memory_bytes=memory_bytes))
    await peer.until(lambda: run.is_complete)
    return run


class TestMemory:
    """The limit of a task's memory."""

    async def test_python_code_that_reaches_it_is_told_the_line_and_how_to_raise_it(self, peer: LinkPeer) -> None:
        script = "kept = []\nwhile True:\n    kept.append(bytearray(1024 * 1024))\n"
        error = error_of(await run_within(peer, script, 128 * MIB))
        assert error["code"] == "task-failed"
        assert error["message"].startswith("The task reached its memory limit of 128 MiB: MemoryError")
        assert (error["details"]["file"], error["details"]["line"]) == ("task.py", 3)
        assert "--memory" in error["hint"]
        assert "memory_mb" in error["hint"]

    async def test_native_code_gets_no_memory_beyond_it(self, peer: LinkPeer) -> None:
        script = """
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
print(library.malloc(512 * 1024 * 1024), bool(library.malloc(1024 * 1024)))
"""
        assert (await run_within(peer, script, 128 * MIB)).text("stdout") == ["None True"]

    async def test_a_native_crash_at_the_limit_names_the_limit(self, peer: LinkPeer) -> None:
        script = """
import os, sys
kept = bytearray(60 * 1024 * 1024)
sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\\n")
os.abort()
"""
        error = error_of(await run_within(peer, script, 128 * MIB))
        assert error["code"] == "task-crashed", error
        assert "at its memory limit of 128 MiB" in error["message"]
        assert "--memory" in error["hint"]

    async def test_a_task_below_it_does_not_notice(self, peer: LinkPeer) -> None:
        run = await run_within(peer, "print(len(bytearray(64 * 1024 * 1024)))", 256 * MIB)
        assert run.text("stdout") == [str(64 * MIB)]


class StarterOfNothing:
    """No queue starts anything by itself."""

    async def start(self, folder: RunFolder) -> None:
        raise AssertionError

    async def is_alive(self, folder: RunFolder) -> bool:
        raise AssertionError

    async def end(self, folder: RunFolder) -> None:
        raise AssertionError


async def test_groups_take_turns_and_each_knows_its_place() -> None:
    workers = Workers(StarterOfNothing(), limit=1)
    order: list[str] = []
    places: dict[str, list[TaskWaiting]] = {}

    async def work(name: str) -> None:
        async with workers.place(Group(name[0], "w"), places.setdefault(name, []).append):
            order.append(name)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workers.place(Group("a", "w"), lambda _: None))
        tasks = []
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            tasks.append(asyncio.create_task(work(name)))
            await asyncio.sleep(0)
        assert order == []
        assert {name: told[-1].before for name, told in places.items()} == {
            "a1": 0,
            "b1": 1,
            "c1": 2,
            "a2": 3,
            "b2": 4,
            "a3": 5,
        }
    await asyncio.gather(*tasks)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    workers = Workers(StarterOfNothing(), limit=1)
    places: list[TaskWaiting] = []

    async def work(told: list[TaskWaiting]) -> None:
        async with workers.place(Group("a", "w"), told.append):
            pass

    async with workers.place(Group("a", "w"), lambda _: None):
        first = asyncio.create_task(work([]))
        await asyncio.sleep(0)
        second = asyncio.create_task(work(places))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        assert [place.before for place in places] == [1, 0]
    await second


async def test_who_waits_knows_how_much_of_the_queue_is_another_computers() -> None:
    workers = Workers(StarterOfNothing(), limit=2)
    told: dict[str, list[TaskWaiting]] = {}

    async def work(name: str) -> None:
        async with workers.place(Group(name[0], name[1]), told.setdefault(name, []).append):
            pass

    async with workers.place(Group("a", "1"), lambda _: None), workers.place(Group("b", "1"), lambda _: None):
        tasks = []
        for name in ("a1", "a2", "b1"):
            tasks.append(asyncio.create_task(work(name)))
            await asyncio.sleep(0)
        assert {name: places[-1] for name, places in told.items()} == {
            "a1": TaskWaiting(0, 0, 2, 1),
            "a2": TaskWaiting(1, 0, 2, 1),
            "b1": TaskWaiting(2, 2, 2, 1),
        }
    await asyncio.gather(*tasks)


async def test_a_run_that_waits_for_a_worker_says_how_many_are_before_it(peer: LinkPeer, tmp_path: Path) -> None:
    waiting = "import os, sys\nprint('begun', flush=True)\nopen(sys.argv[1]).read()"
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    first = await peer.start({"task.py": waiting}, str(fifo))
    await peer.until(lambda: first.text("stdout") == ["begun"])
    second = await peer.start({"task.py": "print('second')"})
    await peer.until(lambda: TaskWaiting(0, 0, 1, 0) in second.events())
    third = await peer.start({"task.py": "print('third')"})
    await peer.until(lambda: TaskWaiting(1, 0, 1, 0) in third.events())
    assert not any(isinstance(event, TaskStarted) for event in (*second.events(), *third.events()))
    await asyncio.to_thread(fifo.write_text, "")
    await peer.until(lambda: second.is_complete and third.is_complete)
    assert third.text("stdout") == ["third"]


async def test_a_run_that_waits_for_a_worker_can_be_cancelled(peer: LinkPeer) -> None:
    first = await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"})
    await peer.until(lambda: first.text("stdout") == ["begun"])
    second = await peer.start({"task.py": "print('never')"})
    await peer.until(lambda: TaskWaiting(0, 0, 1, 0) in second.events())
    await peer.cancel(second)
    await peer.until(lambda: second.is_complete)
    assert second.finished is not None
    assert second.finished.state is RunState.CANCELLED
    assert second.lines() == []
