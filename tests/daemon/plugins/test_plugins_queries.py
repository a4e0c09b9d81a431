"""Quick questions to plugins run in threads, with a time limit, and their failures name the plugin."""

from __future__ import annotations

import asyncio
import threading

import pytest
from daemon.plugins.conftest import NewPlugin

from edgeloop_daemon.queries import run_query
from edgeloop_shared.errors import NotFoundError, PluginError

SOURCE = """
    import sys, threading
    from edgeloop_shared.errors import NotFoundError

    started, released = threading.Event(), threading.Event()

    def double(value):
        return 2 * value, threading.current_thread() is threading.main_thread()

    def hang():
        started.set()
        released.wait()

    def break_down():
        raise ZeroDivisionError("nothing left")

    def leave():
        sys.exit(1)

    def miss():
        raise NotFoundError("Not here.")
"""


async def test_a_question_is_answered_beside_the_event_loop(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)

    assert await run_query("asked", f"{entry.module}:double", 21) == (42, False)


async def test_a_plugin_that_does_not_answer_is_named_and_keeps_nobody_waiting(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    module = entry.load()
    with pytest.raises(PluginError) as caught:
        await run_query("asked", f"{entry.module}:hang", seconds=0.05)
    left = [thread for thread in threading.enumerate() if thread.name == f"query {entry.module}:hang"]
    module.released.set()
    for thread in left:
        await asyncio.to_thread(thread.join)

    assert caught.value.details == {"plugin": "asked", "handler": f"{entry.module}:hang"}
    assert "did not answer within 0.05 s" in caught.value.message
    assert [thread.daemon for thread in left] == [True]


@pytest.mark.parametrize(
    ("handler", "words"), [("break_down", "ZeroDivisionError: nothing left"), ("leave", "SystemExit")]
)
async def test_a_plugin_that_fails_is_named(new_plugin: NewPlugin, handler: str, words: str) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(PluginError, match="The plugin asked failed") as caught:
        await run_query("asked", f"{entry.module}:{handler}")

    assert words in caught.value.message
    assert caught.value.details["handler"] == f"{entry.module}:{handler}"


async def test_an_error_that_a_plugin_means_for_the_user_passes(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(NotFoundError, match=r"Not here\."):
        await run_query("asked", f"{entry.module}:miss")


async def test_a_handler_that_does_not_exist_is_named(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(PluginError, match="no_such_handler"):
        await run_query("asked", f"{entry.module}:no_such_handler")
