"""The thread that works for the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edgeloop_daemon.store.worker_thread import WorkerThread


@pytest.fixture
def thread() -> Iterator[WorkerThread]:
    thread = WorkerThread("worker")
    yield thread
    thread.end()


async def test_all_is_done_in_order_and_in_one_thread(thread: WorkerThread) -> None:
    done: list[tuple[int, str]] = []
    await asyncio.gather(
        *(thread.run(lambda n=number: done.append((n, threading.current_thread().name))) for number in range(100))  # type: ignore[misc]
    )
    assert done == [(number, "worker") for number in range(100)]


@pytest.mark.parametrize(("error", "met"), [(KeyError("x"), KeyError), (StopIteration(3), RuntimeError)])
async def test_what_is_raised_reaches_who_asked_and_the_thread_goes_on(
    thread: WorkerThread, error: Exception, met: type[Exception]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(met):
        await thread.run(fail)
    assert await thread.run(lambda: 5) == 5


async def test_who_is_cancelled_leaves_what_runs_running_and_what_waits_undone(thread: WorkerThread) -> None:
    began, go_on, done = threading.Event(), threading.Event(), []

    def first() -> None:
        began.set()
        go_on.wait()
        done.append("first")

    running = asyncio.create_task(thread.run(first))
    await asyncio.to_thread(began.wait)
    waiting = asyncio.create_task(thread.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    go_on.set()
    assert await thread.run(lambda: list(done)) == ["first"]


async def test_it_ends_after_what_it_was_given() -> None:
    thread = WorkerThread("ending")
    work = asyncio.create_task(thread.run(lambda: threading.current_thread()))
    await asyncio.sleep(0)
    thread.end()
    own = await work
    await asyncio.to_thread(own.join)
    assert not own.is_alive()
