"""Quick questions to plugins run in threads, with a time limit, and their failures name the plugin."""

from __future__ import annotations

import asyncio
import threading

import pytest
from daemon.plugins.conftest import NewPlugin

from edgeloop_daemon.plugin_output import named_output
from edgeloop_daemon.queries import Queries
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

    def interrupt():
        raise KeyboardInterrupt

    def babble():
        print("first words")
        sys.stdout.buffer.write(bytes(range(256)) * 40_000)
        sys.stderr.write("x" * 10_000_000)

    def miss():
        raise NotFoundError("Not here.")
"""


async def test_a_question_is_answered_beside_the_event_loop(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)

    assert await Queries().run("asked", f"{entry.module}:double", 21) == (42, False)


async def test_a_plugin_that_does_not_answer_is_named_and_keeps_nobody_waiting(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    module = entry.load()
    with pytest.raises(PluginError) as caught:
        await Queries(seconds=0.05).run("asked", f"{entry.module}:hang")
    left = [thread for thread in threading.enumerate() if thread.name == f"query {entry.module}:hang"]
    module.released.set()
    for thread in left:
        await asyncio.to_thread(thread.join)

    assert caught.value.details == {"plugin": "asked", "handler": f"{entry.module}:hang"}
    assert "did not answer within 0.05 s" in caught.value.message
    assert [thread.daemon for thread in left] == [True]


@pytest.mark.parametrize(
    ("handler", "words"),
    [("break_down", "ZeroDivisionError: nothing left"), ("leave", "SystemExit"), ("interrupt", "KeyboardInterrupt")],
)
async def test_a_plugin_that_fails_is_named(new_plugin: NewPlugin, handler: str, words: str) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(PluginError, match="The plugin asked failed") as caught:
        await Queries().run("asked", f"{entry.module}:{handler}")

    assert words in caught.value.message
    assert caught.value.details["handler"] == f"{entry.module}:{handler}"


async def test_an_error_that_a_plugin_means_for_the_user_passes(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(NotFoundError, match=r"Not here\."):
        await Queries().run("asked", f"{entry.module}:miss")


async def test_a_handler_that_does_not_exist_is_named(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    with pytest.raises(PluginError, match="no_such_handler"):
        await Queries().run("asked", f"{entry.module}:no_such_handler")


async def test_queries_that_never_return_are_bounded_refused_and_hold_nobody_else_up(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    module = entry.load()
    queries = Queries(seconds=0.2, max_threads=2)
    stuck = await asyncio.gather(
        *(queries.run("stuck", f"{entry.module}:hang") for _ in range(5)), return_exceptions=True
    )
    blocked = [thread for thread in threading.enumerate() if thread.name == f"query {entry.module}:hang"]
    with pytest.raises(PluginError, match="stuck is asked no more: 2 of its queries have not come to an end") as caught:
        await queries.run("stuck", f"{entry.module}:double", 1)

    assert all("did not answer within 0.2 s" in str(error) for error in stuck)
    assert len(blocked) == 2
    assert "edgeloop plugins disable stuck" in caught.value.hint
    assert (await queries.run("other", f"{entry.module}:double", 21))[0] == 42

    module.released.set()
    for thread in blocked:
        await asyncio.to_thread(thread.join)
    assert (await queries.run("stuck", f"{entry.module}:double", 21))[0] == 42


async def test_a_burst_of_queries_beyond_the_limit_is_answered_one_after_another(new_plugin: NewPlugin) -> None:
    entry = new_plugin("asked", SOURCE)
    queries = Queries(max_threads=2)
    answers = await asyncio.gather(*(queries.run("asked", f"{entry.module}:double", number) for number in range(20)))

    assert [answer for answer, _ in answers] == list(range(0, 40, 2))


async def test_what_a_query_prints_is_logged_under_its_name_and_cut(
    new_plugin: NewPlugin, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = new_plugin("asked", SOURCE)
    with named_output():
        await Queries().run("asked", f"{entry.module}:babble")
        print("the daemon's own words")

    (record,) = caplog.records
    assert record.getMessage().startswith("The plugin asked printed:\n    first words\n")
    assert record.getMessage().endswith("and 20231820 more bytes")
    assert len(record.getMessage()) < 20_000
    assert capsys.readouterr().out == "the daemon's own words\n"
