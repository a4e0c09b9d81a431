"""SIGKILL of the companion: what a script has said arrives once and in order, and nothing is done twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgeloop_companion.companion import running
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.guardian import VANISHED
from edgeloop_companion.runtime.journal import Cursor, JournalReader
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.runtime.workers import ProcessStarter
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_companion.store.task import Phase
from edgeloop_companion.store.tasks import TaskList, Tasks, opened_tasks
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.models import RunState
from edgeloop_shared.process_lock import is_held, signal_holder
from edgeloop_shared.run_events import FileAnnounced, MetricReported, ResultReported, TaskFinished, TaskStarted
from edgeloop_shared.traces import unpack_batch

from .companion_fixtures import INFO, Observer, pairing_with
from .debug_client import debug
from .link_peer import LinkPeer
from .received_run import Run

STEPS = 150
TALKATIVE = f"""
import sys, time
import edgeloop_task
from edgeloop_task import reporting
from edgeloop_shared.traces import TraceBatch, pack_batch
open(sys.argv[1], "a").write("begun\\n")
for step in range({STEPS}):
    print("line", step)
    print("error", step, file=sys.stderr)
    edgeloop_task.report_metric("loss", step / 2, step=step)
    reporting.current().trace_batch(pack_batch(TraceBatch(0, [step], [0], [step], [1])))
    if step == {STEPS // 2}:
        open("half.bin", "wb").write(b"half" * 1_000_000)
        edgeloop_task.report_file("half.bin")
    time.sleep(0.01)
edgeloop_task.report_result(answer=42)
print("end without a newline", end="")
"""
PAUSED = """
import pathlib, time
def step():
    time.sleep(0.005)
    pathlib.Path("went on").touch()
print("begun")
while not pathlib.Path("stop").exists():
    step()
"""


class Phone:
    """A companion process on a state folder that outlives it."""

    def __init__(self, state: Path, peer: LinkPeer) -> None:
        self.state = state
        Pairings(StateFolder(state).pairings).add(pairing_with(peer))
        self._process: Process | None = None

    async def start(self) -> None:
        command = (sys.executable, "-m", "edgeloop_companion", "--state", str(self.state), "--name", "phone")
        self._process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    @property
    def run_folders(self) -> list[RunFolder]:
        return [RunFolder(path) for path in self.state.glob("hosts/*/runs/*")]


@asynccontextmanager
async def phone_of(peer: LinkPeer, tmp_path: Path) -> AsyncIterator[Phone]:
    phone = await asyncio.to_thread(Phone, tmp_path / "state", peer)
    await phone.start()
    await peer.linked()
    try:
        yield phone
    finally:
        await phone.stop()


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer:
        yield peer


def check_whole(run: Run) -> None:
    """Check that everything which the talkative script said is here, once and in order."""
    assert run.finished is not None
    assert run.finished.error is None
    assert run.finished.state is RunState.SUCCEEDED
    assert run.text("stdout") == [*(f"line {step}" for step in range(STEPS)), "end without a newline"]
    assert run.text("stderr") == [f"error {step}" for step in range(STEPS)]
    assert [begin for batch in run.traces() for begin in unpack_batch(batch).begin_ns] == list(range(STEPS))
    events = run.events()
    assert [event.step for event in events if isinstance(event, MetricReported)] == list(range(STEPS))
    assert [event for event in events if isinstance(event, ResultReported)] == [ResultReported({"answer": 42})]
    assert sum(isinstance(event, TaskStarted) for event in events) == 1
    assert sum(isinstance(event, TaskFinished) for event in events) == 1


def arrived(run: Run) -> int:
    return sum(len(records) for records in run.records.values())


@pytest.mark.parametrize("seed", range(2))
async def test_a_run_outlives_kills_at_random_moments(peer: LinkPeer, tmp_path: Path, seed: int) -> None:
    moments = sorted(random.Random(seed).sample(range(1, 200), 4))
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": TALKATIVE}, str(tmp_path / "begun"))
        for moment in moments:
            await peer.until(lambda moment=moment: arrived(run) >= moment or run.is_complete)  # type: ignore[misc]
            await phone.kill()
            await phone.start()
            await peer.linked(times=len(peer.hellos) + 1)
        await peer.until(lambda: run.is_complete)
        check_whole(run)
        [file] = [event for event in run.events() if isinstance(event, FileAnnounced)]
        assert hashlib.sha256(peer.blobs.uploads[file.sha256]).hexdigest() == file.sha256
    assert (tmp_path / "begun").read_text() == "begun\n"
    assert peer.faults == []
    assert phone.run_folders == []


async def test_a_run_that_ends_while_there_is_no_companion_is_reported_by_the_next(
    peer: LinkPeer, tmp_path: Path
) -> None:
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": TALKATIVE}, str(tmp_path / "begun"))
        await peer.until(lambda: len(run.text("stdout")) > 10)
        await phone.kill()
        [folder] = phone.run_folders
        await until_free(folder)
        await phone.start()
        await peer.until(lambda: run.is_complete)
        check_whole(run)


async def test_a_crash_while_there_is_no_companion_is_reported_with_its_signal_and_line(
    peer: LinkPeer, tmp_path: Path
) -> None:
    script = """
import ctypes, os, sys
print("begun", flush=True)
open(sys.argv[1]).read()
print("last words")
ctypes.string_at(0)
"""
    os.mkfifo(tmp_path / "go")
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": script}, str(tmp_path / "go"))
        await peer.until(lambda: run.text("stdout") == ["begun"])
        await phone.kill()
        [folder] = phone.run_folders
        await asyncio.to_thread((tmp_path / "go").write_text, "")
        await until_free(folder)
        await phone.start()
        await peer.until(lambda: run.is_complete)
    assert run.text("stdout") == ["begun", "last words"]
    assert run.finished is not None
    assert run.finished.error is not None
    assert run.finished.error["code"] == "task-crashed"
    assert run.finished.error["details"]["signal"] in ("SIGSEGV", "SIGBUS")
    assert run.finished.error["details"]["line"] == 6


async def test_an_exception_before_the_kill_is_not_forgotten(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.acknowledge = False
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start(
            {"task.py": "import edgeloop_task\nedgeloop_task.report_file('task.py')\nraise ValueError('mine')"}
        )
        await peer.until(lambda: any("mine" in line for line in run.text("stderr")))
        await phone.kill()  # the file waits for the acknowledgement of its announcement, and the end for the file
        peer.behaviour.acknowledge = True
        await phone.start()
        await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.error is not None
    assert run.finished.error["message"] == "ValueError: mine (task.py, line 3)"


async def test_a_command_that_is_repeated_to_the_next_companion_is_carried_out_once(
    peer: LinkPeer, tmp_path: Path
) -> None:
    async with phone_of(peer, tmp_path) as phone:
        command = peer.command({"task.py": TALKATIVE}, str(tmp_path / "begun"))
        run = peer.runs[command.run_id]
        await peer.send(command)
        await peer.until(lambda: len(peer.results) == 1)
        for times in (2, 3):
            await phone.kill()
            await phone.start()
            await peer.linked(times=times)
            await peer.send(command)
            await peer.until(lambda times=times: len(peer.results) == times)  # type: ignore[misc]
        await peer.until(lambda: run.is_complete)
        await peer.send(command)
        await peer.until(lambda: len(peer.results) == 4)
    assert [result.error for result in peer.results] == [None] * 4
    assert (tmp_path / "begun").read_text() == "begun\n"
    check_whole(run)


async def test_the_screens_of_the_next_companion_show_a_run_that_goes_on(peer: LinkPeer, tmp_path: Path) -> None:
    script = """
import pathlib, sys, time
print("begun", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("gone on")
"""
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": script}, str(tmp_path / "go"))
        await peer.until(lambda: run.text("stdout") == ["begun"])
        await phone.kill()
        with locked_state_folder(tmp_path / "state") as state:
            async with (
                opened_tasks(state.tasks, state.blobs) as tasks,
                running(state, INFO, Observer(), observe=tasks.observe),
            ):
                (task,) = (
                    await listed(tasks, lambda now: any(one.phase is Phase.RUNNING for one in now.at_work))
                ).at_work
                assert (task.run_id, task.script, task.is_taken_over) == (peer.run_id(run), "task.py", True)
                (tmp_path / "go").touch()
                (task,) = (await listed(tasks, lambda now: bool(now.recent))).recent
                assert (task.phase, task.last_line) == (Phase.SUCCEEDED, "gone on")
                await peer.until(lambda: run.is_complete)
    assert run.text("stdout") == ["begun", "gone on"]


async def listed(tasks: Tasks, holds: Callable[[TaskList], bool]) -> TaskList:
    """Wait until what the screens list is so."""
    seen = asyncio.Event()
    stop = tasks.list.watch(lambda now: seen.set() if holds(now) else None)
    async with asyncio.timeout(30):
        await seen.wait()
    stop()
    return tasks.list.value


async def test_a_run_that_was_taken_over_can_be_cancelled(peer: LinkPeer, tmp_path: Path) -> None:
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": "print('begun', flush=True)\nimport time; time.sleep(60)"})
        await peer.until(lambda: run.text("stdout") == ["begun"])
        [folder] = phone.run_folders
        await phone.kill()
        await phone.start()
        await peer.linked(times=2)
        await peer.cancel(run)
        await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.state is RunState.CANCELLED
    assert not is_held(folder.lock)


async def test_a_trace_that_is_taken_over_is_compared_with_the_computers_clock_again(
    peer: LinkPeer, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": "import sys\nopen(sys.argv[1]).read()"}, str(tmp_path / "go"), trace=True)
        await peer.until(lambda: len(comparisons(run)) == 1)
        await phone.kill()
        await phone.start()
        await peer.until(lambda: len(comparisons(run)) == 2)
        await asyncio.to_thread((tmp_path / "go").write_text, "")
        await peer.until(lambda: run.is_complete)
    assert comparisons(run)[0].device_ns < comparisons(run)[1].device_ns


def comparisons(run: Run) -> list[ClockCompared]:
    return [event for event in run.events() if isinstance(event, ClockCompared)]


async def test_a_cancel_that_was_accepted_before_the_kill_holds(peer: LinkPeer, tmp_path: Path) -> None:
    stubborn = (
        "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('begun', flush=True)\nimport time; time.sleep(60)"
    )
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": stubborn})
        await peer.until(lambda: run.text("stdout") == ["begun"])
        await peer.cancel(run)
        await peer.until(lambda: len(peer.results) == 2)
        await phone.kill()
        await phone.start()
        await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.state is RunState.CANCELLED


async def test_a_bundle_is_fetched_on_after_a_kill_and_the_script_runs_once(peer: LinkPeer, tmp_path: Path) -> None:
    model = random.Random(0).randbytes(6_000_000)
    sha256 = hashlib.sha256(model).hexdigest()
    peer.behaviour.cut_downloads[sha256] = [4_000_000, *([1] * 1000)]  # the rest comes after the kill
    async with phone_of(peer, tmp_path) as phone:
        script = "import sys, hashlib\nprint(hashlib.sha256(open('model.mnn', 'rb').read()).hexdigest())"
        run = await peer.start({"task.py": script, "model.mnn": model})
        partial = phone.state / "blobs" / "partial" / f"{next(iter(peer.devices))}-{sha256}"
        await until(lambda: partial.exists() and partial.stat().st_size > 3_000_000)
        await phone.kill()
        peer.behaviour.cut_downloads.clear()
        await phone.start()
        await peer.until(lambda: run.is_complete)
    assert run.text("stdout") == [sha256]
    asked = [
        int(asked.removeprefix("bytes=").rstrip("-") or 0) for blob, asked in peer.blobs.downloads if blob == sha256
    ]
    assert asked[0] == 0
    assert 3_000_000 < asked[-1] <= 4_001_000


async def test_a_spoiled_spool_costs_its_run_alone_and_the_daemon_is_told(peer: LinkPeer, tmp_path: Path) -> None:
    async with phone_of(peer, tmp_path) as phone:
        spoiled = await peer.start({"task.py": "print('begun', flush=True)\nimport time; time.sleep(60)"})
        await peer.until(lambda: spoiled.text("stdout") == ["begun"])
        [folder] = phone.run_folders
        other = await peer.start({"task.py": TALKATIVE}, str(tmp_path / "begun"))
        await peer.until(lambda: len(other.text("stdout")) > 0)
        await phone.kill()
        file = folder.root / "spool.1"
        file.write_bytes(file.read_bytes().replace(b'"records"', b'"rec?rds"'))
        await phone.start()
        await peer.linked(times=2)
        assert peer.hellos[1].runs == (peer.run_id(other),)
        assert peer.hellos[0].epoch == peer.hellos[1].epoch
        await until_free(folder)
        await peer.until(lambda: other.is_complete)
        check_whole(other)


async def test_a_worker_whose_companion_does_not_come_back_ends_itself_and_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.files.mkdir()
    (folder.files / "task.py").write_text("import time; time.sleep(60)")
    folder.write_order(Order("task.py", companion=str(tmp_path / "nobody"), vanish_seconds=0.5))
    await ProcessStarter().start(folder)
    await until_free(folder)
    end = folder.end()
    assert end is not None
    assert end.reason == VANISHED


async def test_a_script_for_which_no_debugger_comes_in_time_fails_and_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.files.mkdir()
    (folder.files / "task.py").write_text("print('never')")
    folder.write_order(Order("task.py", companion=str(tmp_path / "nobody"), debug="wait", wait_seconds=0.2))
    await ProcessStarter().start(folder)
    await until_free(folder)
    end = folder.end()
    assert end is not None
    assert end.code == 1
    said = "".join(entry.payload.decode() for entry in JournalReader(tmp_path, Cursor()).read())
    assert '"failed"' in said
    assert "No debugger attached within 0.2 s." in said
    assert "never" not in said


async def test_a_script_that_is_paused_goes_on_when_its_companion_is_killed_and_may_be_debugged_again(
    peer: LinkPeer, tmp_path: Path
) -> None:
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": PAUSED})
        await peer.until(lambda: run.text("stdout") == ["begun"])
        [folder] = phone.run_folders
        breakpoints = {str(folder.files / "task.py"): [4]}
        client, _ = await debug(peer, run)
        await client.attach(breakpoints)
        await client.stopped()
        (folder.files / "went on").unlink(missing_ok=True)
        await phone.kill()
        await until((folder.files / "went on").exists)
        await phone.start()
        await peer.linked(times=2)
        assert peer.hellos[1].channels is None
        client, name = await debug(peer, run)
        await client.attach(breakpoints)
        await client.stopped()
        await peer.end_channel(name)
        (folder.files / "stop").touch()
        await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.state is RunState.SUCCEEDED


async def test_a_script_that_is_paused_ends_with_its_guardian(peer: LinkPeer, tmp_path: Path) -> None:
    async with phone_of(peer, tmp_path) as phone:
        run = await peer.start({"task.py": PAUSED})
        await peer.until(lambda: run.text("stdout") == ["begun"])
        [folder] = phone.run_folders
        client, name = await debug(peer, run)
        await client.attach({str(folder.files / "task.py"): [4]})
        await client.stopped()
        await asyncio.to_thread(signal_holder, folder.lock, signal.SIGKILL)
        await peer.until(lambda: run.is_complete)
        assert await peer.ended(name) is None
    assert run.finished is not None
    assert run.finished.state is RunState.FAILED


async def test_a_run_happens_once_however_often_its_worker_is_started(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.files.mkdir()
    (folder.files / "task.py").write_text("open('begun', 'a').write('x')")
    folder.write_order(Order("task.py", companion=str(tmp_path / "nobody")))
    starter = ProcessStarter()
    await asyncio.gather(*(starter.start(folder) for _ in range(4)))
    await until_free(folder)
    await starter.start(folder)
    assert (folder.files / "begun").read_text() == "x"


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something on the disk holds."""
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - a file tells nobody that it has changed
            await asyncio.sleep(0.02)


async def until_free(folder: RunFolder) -> None:
    """Wait until no worker is at work in `folder`."""
    await until(lambda: not is_held(folder.lock))
