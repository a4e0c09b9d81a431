"""Workers in the services of an Android of Python objects: the services' processes are real, and so is what they run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from edgeloop_companion.phone.phone import Phone
from edgeloop_shared.models import RunState
from edgeloop_shared.process_lock import held
from edgeloop_shared.run_events import TransferProgress

from .android_world import AndroidWorld
from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import Run

WAITS = "import pathlib, time\nprint('begun')\nwhile not pathlib.Path({stop!r}).exists():\n    time.sleep(0.02)\n"


@pytest.fixture
def world() -> Iterator[AndroidWorld]:
    android = AndroidWorld()
    yield android
    for service in android.services:
        service.end()


@pytest.fixture
def phone(world: AndroidWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Phone:
    return world.phone(monkeypatch, tmp_path / "state")


@pytest_asyncio.fixture
async def peer(phone: Phone, tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as serving, linked_companion(tmp_path / "state", serving, phone=phone):
        yield serving


def state_of(run: Run) -> RunState:
    assert run.finished is not None
    return run.finished.state


async def test_each_run_is_the_work_of_a_service_of_its_own_and_its_notification_names_the_script(
    peer: LinkPeer, world: AndroidWorld, tmp_path: Path
) -> None:
    runs = [await peer.start({"task.py": WAITS.format(stop=str(tmp_path / "stop"))}) for _ in range(2)]
    await peer.until(lambda: all(run.text("stdout") == ["begun"] for run in runs))
    assert [service.notifications for service in world.services] == [[("edgeloop", "task.py")]] * 2 + [[], []]
    (tmp_path / "stop").touch()
    await peer.until(lambda: all(run.is_complete for run in runs))
    assert [state_of(run) for run in runs] == [RunState.SUCCEEDED] * 2


@pytest.mark.parametrize(("granted", "asked"), [(False, ["android.permission.POST_NOTIFICATIONS"]), (True, [])])
async def test_the_user_is_asked_once_for_notifications_unless_they_are_allowed(
    peer: LinkPeer, world: AndroidWorld, granted: bool, asked: list[str]
) -> None:
    world.granted = {"android.permission.POST_NOTIFICATIONS"} if granted else set()
    for _ in range(2):
        await peer.run({"task.py": "print('fine')"})
    assert world.asked_for == asked


async def test_a_fifth_run_waits_for_a_slot(peer: LinkPeer, world: AndroidWorld, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    runs = [await peer.start({"task.py": WAITS.format(stop=str(stop))}) for _ in range(5)]
    await peer.until(lambda: sum(run.text("stdout") == ["begun"] for run in runs) == 4)
    assert sum(service.process is not None for service in world.services) == 4
    stop.touch()
    await peer.until(lambda: all(run.is_complete for run in runs))
    assert [state_of(run) for run in runs] == [RunState.SUCCEEDED] * 5


async def test_a_native_crash_takes_its_worker_alone_and_the_slot_is_free_again(
    peer: LinkPeer, world: AndroidWorld
) -> None:
    crashed = await peer.run({"task.py": "import os\nos.abort()\n"})
    assert crashed.finished is not None
    assert crashed.finished.error is not None
    assert "SIGABRT" in crashed.finished.error["message"]
    left = await peer.run({"task.py": "import atexit\natexit.register(print, 'left well')\nprint('begun')\n"})
    assert (state_of(left), left.text("stdout")) == (RunState.SUCCEEDED, ["begun", "left well"])
    assert world.services[0].process is not None
    assert await asyncio.to_thread(world.services[0].process.wait, 30) == 0


async def test_a_run_that_is_cancelled_ends_its_service(peer: LinkPeer, world: AndroidWorld, tmp_path: Path) -> None:
    run = await peer.start({"task.py": WAITS.format(stop=str(tmp_path / "never"))})
    await peer.until(lambda: run.text("stdout") == ["begun"])
    await peer.cancel(run)
    await peer.until(lambda: run.is_complete)
    assert state_of(run) is RunState.CANCELLED


async def test_a_service_that_ignores_its_start_is_passed_over(
    world: AndroidWorld, phone: Phone, tmp_path: Path
) -> None:
    from edgeloop_companion.phone.android_workers import ServiceStarter

    world.services[0].is_deaf = True
    starter = ServiceStarter(tmp_path / "slots", world.services[0].activity, again_seconds=0.2)
    async with (
        LinkPeer().serving() as peer,
        linked_companion(tmp_path / "state", peer, phone=replace(phone, starter=starter)),
    ):
        run = await peer.run({"task.py": "print('fine')"})
        assert run.text("stdout") == ["fine"]
    assert world.services[0].process is None


async def test_a_run_waits_for_a_service_that_is_just_about_to_end(
    world: AndroidWorld, phone: Phone, tmp_path: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread((tmp_path / "state" / "slots").mkdir, parents=True)
        ending = contextlib.ExitStack()
        for number in range(len(world.services)):
            assert ending.enter_context(held(tmp_path / "state" / "slots" / f"{number}.lock"))
        stack.callback(ending.close)
        peer = await stack.enter_async_context(LinkPeer().serving())
        await stack.enter_async_context(linked_companion(tmp_path / "state", peer, phone=phone))
        run = await peer.start({"task.py": "print('fine')"})
        await peer.until(lambda: any(isinstance(event, TransferProgress) for event in run.events()))
        assert not any(service.notifications for service in world.services)
        ending.close()
        await peer.until(lambda: run.is_complete)
        assert state_of(run) is RunState.SUCCEEDED


async def test_where_no_service_begins_the_run_fails(world: AndroidWorld, phone: Phone, tmp_path: Path) -> None:
    from edgeloop_companion.phone.android_workers import ServiceStarter

    for service in world.services:
        service.is_deaf = True
    starter = ServiceStarter(tmp_path / "slots", world.services[0].activity, again_seconds=0.05)
    async with (
        LinkPeer().serving() as peer,
        linked_companion(tmp_path / "state", peer, phone=replace(phone, starter=starter)),
    ):
        run = await peer.run({"task.py": "print('never')"})
    assert run.finished is not None
    assert run.finished.error is not None
    assert "no worker service" in run.finished.error["message"]


async def test_where_android_starts_no_service_the_run_fails_and_says_why(peer: LinkPeer, world: AndroidWorld) -> None:
    for service in world.services:
        service.is_refused = True
    run = await peer.run({"task.py": "print('never')"})
    assert run.finished is not None
    assert run.finished.error is not None
    assert "BackgroundServiceStartNotAllowedException" in run.finished.error["message"]
