"""A thread that does one thing after another for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """Functions are run in the order in which they were given, all in the same thread.

    An executor with one thread does the same; its way there and back, with a future of its own and three locks, takes twice as
    long, which a short query would feel.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, function: Callable[[], T]) -> T:
        """Return what `function` returns in the thread. Who is cancelled meanwhile leaves it running, unless it waits still."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((function, future))
        return await future

    def end(self) -> None:
        """End the thread when it has done what it was given; it is not waited for."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            if not future.cancelled():
                with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                    future.get_loop().call_soon_threadsafe(_settle, future, *_outcome(function))
            del call, function, future  # nothing of it is kept alive until the next one comes


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except StopIteration as error:  # a future cannot hold one
        return None, RuntimeError(f"a function for the thread raised {error!r}")
    except BaseException as error:
        return None, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
