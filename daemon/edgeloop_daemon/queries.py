"""Handlers of plugins that run in the daemon itself: quick questions, each in a thread and with a time limit."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

from edgeloop.handlers import load_handler
from edgeloop_daemon.plugin_output import spoken_by
from edgeloop_shared.errors import EdgeloopError, PluginError

QUERY_SECONDS = 10.0
MAX_THREADS = 8  # of one plugin, those that overran their time included

_log = logging.getLogger(__name__)


class _Running:
    """The queries of one plugin that have not come to an end, and when each should have."""

    def __init__(self, limit: int) -> None:
        self.free = asyncio.Semaphore(limit)
        self.deadlines: dict[threading.Thread, float] = {}

    @property
    def is_stuck(self) -> bool:
        """Whether nothing is free, nor will soon be."""
        return self.free.locked() and all(deadline < time.monotonic() for deadline in self.deadlines.values())


class Queries:
    """The queries that run. Those of one plugin never wait for another plugin's."""

    def __init__(self, *, seconds: float = QUERY_SECONDS, max_threads: int = MAX_THREADS) -> None:
        self._seconds = seconds
        self._max_threads = max_threads
        self._running: dict[str, _Running] = {}

    async def run(self, plugin: str, handler: str, *arguments: Any) -> Any:
        """Call the `handler` ("module:name") of `plugin` in a thread of its own and return its result.

        Errors of ours pass; any other exception, and an answer that takes too long, become a `PluginError` that names both. The
        thread of a late answer goes on, since a thread cannot be ended, but it keeps nobody waiting, the daemon's end included.
        At most `max_threads` of a plugin run at once; a further query waits for one of them, within its own time. When all of
        them have overrun theirs it is refused at once.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._in_a_thread(plugin, handler, arguments)
        except TimeoutError:
            _log.error("The plugin %s did not answer in %s s: %s", plugin, self._seconds, handler)
            raise PluginError(
                f"The plugin {plugin} did not answer within {self._seconds:g} s: {handler}.",
                hint="Try again; if it repeats, this work belongs into a job, which is up to the plugin's author.",
                details={"plugin": plugin, "handler": handler},
            ) from None

    async def _in_a_thread(self, plugin: str, handler: str, arguments: tuple[Any, ...]) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        running = self._running.setdefault(plugin, _Running(self._max_threads))

        def settle(result: Any, error: BaseException | None) -> None:
            del running.deadlines[thread]
            running.free.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        def call() -> None:
            result, failure = _called(plugin, handler, arguments)
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, failure)

        if running.is_stuck:
            raise PluginError(
                f"The plugin {plugin} is asked no more: {len(running.deadlines)} of its queries have not come to an end.",
                hint="Start the daemon again (`edgeloop down`, `edgeloop up`); without this plugin if it repeats: "
                f"`edgeloop plugins disable {plugin}`.",
                details={"plugin": plugin, "handler": handler},
            )
        await running.free.acquire()
        thread = threading.Thread(target=call, name=f"query {handler}", daemon=True)
        running.deadlines[thread] = time.monotonic() + self._seconds
        thread.start()
        return await answer


def _called(plugin: str, handler: str, arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """Return the result of a handler, or the error to tell."""
    try:
        with spoken_by(plugin):
            return load_handler(handler)(*arguments), None
    except EdgeloopError as error:
        return None, error
    except BaseException as error:  # whatever a plugin raises: it must neither end a thread in silence nor the daemon
        _log.exception("The plugin %s failed in %s", plugin, handler)
        return None, PluginError(
            f"The plugin {plugin} failed in {handler}: {type(error).__name__}: {error}.",
            hint="This looks like a bug in the plugin; the daemon's log holds the traceback.",
            details={"plugin": plugin, "handler": handler},
        )
