"""Many at once: one device that works for three computers, and one computer with twenty devices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from end_to_end.command_line import CommandLine

from edgeloop_companion.companion import running
from edgeloop_companion.device_info import device_info
from edgeloop_companion.events import Event as CompanionEvent
from edgeloop_companion.events import Linked
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.store.task import Pause, Phase
from edgeloop_companion.store.tasks import TaskList, Tasks, opened_tasks
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_shared.models import RunState
from edgeloop_shared.pairing import parse_offer
from edgeloop_shared.run_events import TaskWaiting

# Every task first waits until all are there: they run together, or none goes on.
MEET = """
import os, sys, time
folder, others = sys.argv[1], int(sys.argv[2])
open(os.path.join(folder, str(os.getpid())), "w").close()
while len(os.listdir(folder)) < others:
    time.sleep(0.02)
"""
GOOD = f"{MEET}\nimport edgeloop_task\nprint('hello')\nedgeloop_task.report_result(who=sys.argv[3])\n"
PAUSED = f"""{MEET}
import edgeloop_task
model = edgeloop_task.load_model({{model!r}})
with edgeloop_task.break_on("root", action="wait"):
    model([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]])
"""
BEGUN = (Phase.WAITING, Phase.RUNNING)
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


@contextlib.asynccontextmanager
async def shared_phone(
    tmp_path: Path, names: Sequence[str], *, max_workers: int = 8
) -> AsyncIterator[tuple[Tasks, list[DeviceDaemon]]]:
    """One phone that is linked to several computers, each with the workspaces `w1` and `w2`; with what its screens show."""
    async with AsyncExitStack() as stack:
        state = await asyncio.to_thread(StateFolder, tmp_path / "phone")
        tasks = await stack.enter_async_context(opened_tasks(state.tasks, state.blobs))
        linked = asyncio.Semaphore(0)

        def listen(event: CompanionEvent) -> None:
            if isinstance(event, Linked):
                linked.release()

        companion = await stack.enter_async_context(
            running(state, device_info("pocket"), listen, max_workers=max_workers, observe=tasks.observe)
        )
        daemons = []
        for name in names:
            (tmp_path / name).mkdir()
            daemon = await stack.enter_async_context(device_daemon(tmp_path / name))
            daemons.append(daemon)
            window = await daemon.pairing.open()
            await companion.pair_by_offer(parse_offer(window.offer), allow)
            async with asyncio.timeout(30):
                await linked.acquire()
        yield tasks, daemons


async def second_workspace(daemon: DeviceDaemon) -> RunWorkspace:
    root = daemon.workspace.root.with_name("second")
    root.mkdir()
    sql = "insert into workspaces (id, path, name, opened_at) values ('w2', ?, 'more', 0)"
    await daemon.database.write(lambda db: db.execute(sql, [str(root)]))
    return RunWorkspace("w2", root, name="more")


async def shown(tasks: Tasks, holds: Callable[[TaskList], bool]) -> TaskList:
    """Wait until the phone shows what is so."""
    seen = asyncio.Event()
    stop = tasks.list.watch(lambda listed: seen.set() if holds(listed) else None)
    try:
        async with asyncio.timeout(60):
            await seen.wait()
    finally:
        stop()
    return tasks.list.value


async def test_the_tasks_of_three_computers_are_shown_together_and_one_at_a_breakpoint_holds_up_nobody(
    tmp_path: Path, planted: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    async with shared_phone(tmp_path, ("ann", "bob", "cleo")) as (tasks, daemons):
        places = [
            (daemon, workspace)
            for daemon in daemons
            for workspace in (daemon.workspace, await second_workspace(daemon))
        ]
        runs = []
        for number, (daemon, workspace) in enumerate(places):
            script = PAUSED.format(model=str(planted)) if number == 2 else GOOD
            await asyncio.to_thread((workspace.root / "task.py").write_text, script)
            arguments = (str(meeting), str(len(places)), f"task {number}")
            runs.append(await daemon.runs.start(workspace, "task.py", arguments))
        paused = f"{runs[2].device}.{runs[2].id}"
        listed = await shown(tasks, lambda listed: len(listed.recent) == 5 and listed.at_work[0].phase is Phase.PAUSED)
        (waiting,) = listed.at_work
        assert (waiting.id, waiting.workspace, waiting.pause) == (paused, "work", Pause(operator="root"))
        assert {task.phase for task in listed.recent} == {Phase.SUCCEEDED}
        assert len({task.device_id for task in listed.recent}) == 3
        assert sorted(task.results[0].value for task in listed.recent) == [
            f"task {number}" for number in (0, 1, 3, 4, 5)
        ]
        for number, (daemon, _) in enumerate(places):
            if number != 2:
                assert (await daemon.runs.get(runs[number].id, wait=60)).result == {"who": f"task {number}"}
        await tasks.stop(paused)
        ended = await places[2][0].runs.get(runs[2].id, wait=60)
        assert ended.state is RunState.CANCELLED
        assert ended.error is not None
        assert ended.error["message"] == "The run was stopped on the device, by its user."
        await shown(tasks, lambda listed: not listed.at_work)


async def test_who_waits_for_a_place_sees_on_both_sides_whom_they_wait_for(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]):\n    time.sleep(0.02)\n"
    async with shared_phone(tmp_path, ("ann", "bob"), max_workers=1) as (tasks, daemons):
        runs = []
        for daemon in (daemons[0], daemons[0], daemons[1]):
            await asyncio.to_thread((daemon.workspace.root / "task.py").write_text, script)
            runs.append(await daemon.runs.start(daemon.workspace, "task.py", (str(go),)))
            await shown(tasks, lambda listed: len(listed.at_work) == len(runs) and listed.at_work[0].phase in BEGUN)
        expected = {runs[1].id: TaskWaiting(0, 0, 1, 0), runs[2].id: TaskWaiting(1, 1, 1, 1)}
        listed = await shown(
            tasks, lambda listed: {one.run_id: one.queue for one in listed.at_work if one.queue} == expected
        )
        assert [task.phase for task in listed.at_work] == [Phase.WAITING, Phase.WAITING, Phase.RUNNING]
        async with asyncio.timeout(60):
            while (waiting := await daemons[1].runs.get(runs[2].id)).queue is None:
                await daemons[1].runs.change(runs[2].id).wait()
        assert waiting.queue == TaskWaiting(1, 1, 1, 1)
        assert waiting.message == "waiting behind 1 other (1 of another computer)"
        go.touch()
        for daemon, run in zip((daemons[0], daemons[0], daemons[1]), runs, strict=True):
            assert (await daemon.runs.get(run.id, wait=60)).state is RunState.SUCCEEDED
