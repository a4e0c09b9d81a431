"""Handlers of plugins that run in the daemon itself: quick questions, each in a thread and with a time limit."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from edgeloop.handlers import load_handler
from edgeloop_shared.errors import EdgeloopError, PluginError

QUERY_SECONDS = 10.0

_log = logging.getLogger(__name__)


async def run_query(plugin: str, handler: str, *arguments: Any, seconds: float = QUERY_SECONDS) -> Any:
    """Call the `handler` ("module:name") of `plugin` in a thread of its own and return its result.

    Errors of ours pass; any other exception, and an answer that takes too long, become a `PluginError` that names both. The
    thread of a late answer goes on, since a thread cannot be ended, but it keeps nobody waiting, the daemon's end included.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def call() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = load_handler(handler)(*arguments)
        except EdgeloopError as error:
            failure = error
        except (Exception, SystemExit) as error:
            _log.exception("The plugin %s failed in %s", plugin, handler)
            failure = PluginError(
                f"The plugin {plugin} failed in {handler}: {type(error).__name__}: {error}.",
                hint="This looks like a bug in the plugin; the daemon's log holds the traceback.",
                details={"plugin": plugin, "handler": handler},
            )
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=call, name=f"query {handler}", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        _log.error("The plugin %s did not answer in %s s: %s", plugin, seconds, handler)
        raise PluginError(
            f"The plugin {plugin} did not answer within {seconds:g} s: {handler}.",
            hint="Try again; if it repeats, this work belongs into a job, which is up to the plugin's author.",
            details={"plugin": plugin, "handler": handler},
        ) from None
