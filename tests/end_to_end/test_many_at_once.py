"""Many at once: one device that works for three computers, and one computer with twenty devices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from daemon.device_daemon import device_daemon
from end_to_end.command_line import CommandLine

from edgeloop_companion.companion import running
from edgeloop_companion.device_info import device_info
from edgeloop_companion.events import Event as CompanionEvent
from edgeloop_companion.events import Linked
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.models import RunState
from edgeloop_shared.pairing import parse_offer

# Every task first waits until all are there: they run together, or none goes on.
MEET = """
import os, sys, time
folder, others = sys.argv[1], int(sys.argv[2])
open(os.path.join(folder, str(os.getpid())), "w").close()
while len(os.listdir(folder)) < others:
    time.sleep(0.02)
"""
GOOD = f"{MEET}\nimport edgeloop_task\nprint('hello')\nedgeloop_task.report_result(who=sys.argv[3])\n"
CRASH = f"{MEET}\nimport ctypes\nctypes.string_at(0)\n"
LOOP = f"{MEET}\nprint('looping', flush=True)\nwhile True:\n    pass\n"
EAT = f"{MEET}\nkept = []\nwhile True:\n    kept.append(bytearray(1024 * 1024))\n"


class Phone:
    """A companion process that is paired with one computer after the other."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str, until: Callable[[list[dict[str, Any]]], bool]) -> None:
        command = [sys.executable, "-m", "edgeloop_companion", "--state", str(self._state), "--name", "pocket"]
        self._process = subprocess.Popen(
            [*command, "--virtual", "--allow", *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        told: list[dict[str, Any]] = []
        while not until(told):
            told.append(json.loads(self._process.stdout.readline()))

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=30)


def offer_of(user: CommandLine) -> str:
    """Open a pairing window; return the text of its QR code."""
    runtime = json.loads((user.home / "runtime.json").read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{runtime['port']}/api/v1/pairing",
        b'{"timeout_seconds": 60}',
        {"Authorization": f"Bearer {runtime['token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["offer"])


@pytest.fixture
def users(tmp_path: Path) -> Iterator[list[CommandLine]]:
    """Three users with a daemon and two workspaces each."""
    found = []
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        for name in ("ann", "bob", "cleo"):
            folder = tmp_path / name
            folder.mkdir()
            user = CommandLine(tmp_path / f"home-{name}", folder)
            stack.callback(user.call, "down", "--stop-jobs")
            found.append(user)

        def begin(user: CommandLine) -> None:
            user.run("up", "--device-host", "127.0.0.1")
            for workspace in ("one", "two"):
                user.run("init", workspace, "--template", "empty")

        list(pool.map(begin, found))
        yield found


def test_six_tasks_of_three_computers_do_not_disturb_each_other(users: list[CommandLine], tmp_path: Path) -> None:
    phone = Phone(tmp_path / "phone")
    try:
        for number, user in enumerate(users, 1):
            offer = tmp_path / f"offer-{number}"
            offer.write_text(offer_of(user))
            phone.start(
                *("--pair-offer-file", str(offer)),
                until=lambda told, number=number: sum(one["event"] == "linked" for one in told) == number,  # type: ignore[misc]
            )
            if user is not users[-1]:
                phone.stop()
        meeting = tmp_path / "meeting"
        meeting.mkdir()
        scripts = {"crash": CRASH, "loop": LOOP, "eat": EAT, "first": GOOD, "second": GOOD, "third": GOOD}
        places = [(user, workspace) for workspace in ("one", "two") for user in users]

        def run(place: tuple[CommandLine, str], name: str) -> tuple[CommandLine, dict[str, Any]]:
            user = place[0].within(place[0].folder / place[1])
            (user.folder / "task.py").write_text(scripts[name])
            memory = ("--memory", "256") if name == "eat" else ()
            return user, user.json("run", "--detach", *memory, "task.py", str(meeting), "6", name)

        with ThreadPoolExecutor(3) as pool:
            begun = dict(zip(scripts, pool.map(run, places, scripts), strict=True))
            ended = dict(
                zip(
                    ("first", "second", "third", "crash", "eat"),
                    pool.map(lambda name: wait_for(*begun[name]), ("first", "second", "third", "crash", "eat")),
                    strict=True,
                )
            )
        for name in ("first", "second", "third"):
            assert (ended[name]["state"], ended[name]["result"]) == ("succeeded", {"who": name})
        assert (ended["crash"]["error"]["code"], ended["crash"]["error"]["details"]["signal"]) == (
            "task-crashed",
            "SIGSEGV",
        )
        assert ended["eat"]["error"]["message"].startswith("The task reached its memory limit of 256 MiB")
        user, loop = begun["loop"]
        assert user.json("runs")[0]["state"] == "running"  # the others are done, it goes on
        user.run("cancel", loop["id"])
        assert wait_for(user, loop)["state"] == "cancelled"
    finally:
        phone.stop()


def wait_for(user: CommandLine, run: dict[str, Any]) -> dict[str, Any]:
    """Return a run once it has ended."""
    user.call("logs", "-f", run["id"])
    return next(one for one in user.json("runs") if one["id"] == run["id"])


async def test_twenty_devices_run_a_task_at_once(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    count = 20
    async with device_daemon(tmp_path) as daemon, AsyncExitStack() as stack:
        (daemon.workspace.root / "task.py").write_text(GOOD)
        names = [f"phone-{number}" for number in range(count)]
        for name in names:
            is_linked = asyncio.Event()

            def listen(event: CompanionEvent, is_linked: asyncio.Event = is_linked) -> None:
                if isinstance(event, Linked):
                    is_linked.set()

            state = await asyncio.to_thread(StateFolder, tmp_path / name)
            companion = await stack.enter_async_context(running(state, device_info(name, is_virtual=True), listen))
            window = await daemon.pairing.open()
            await companion.pair_by_offer(parse_offer(window.offer), allow)
            async with asyncio.timeout(30):
                await is_linked.wait()
        runs = await asyncio.gather(
            *(
                daemon.runs.start(daemon.workspace, "task.py", (str(meeting), str(count), name), device=name)
                for name in names
            )
        )
        ended = await asyncio.gather(*(daemon.runs.get(run.id, wait=60) for run in runs))
        assert [run.error for run in ended] == [None] * count
        assert {run.state for run in ended} == {RunState.SUCCEEDED}
        assert [run.result for run in ended] == [{"who": name} for name in names]
        assert len(list(meeting.iterdir())) == count


async def allow(_: str) -> bool:
    return True
