"""Debugging a running script through its device's link: real debugpy, real workers, links that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from edgeloop_companion.runtime import debugger
from edgeloop_companion.runtime.memory import MemoryLimit
from edgeloop_companion.runtime.pauses import Pauses
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared.errors import DeviceVanishedError, TaskFailedError
from edgeloop_shared.models import RunState

from .companion_fixtures import linked_companion
from .debug_client import debug
from .link_peer import LinkPeer
from .received_run import Run

MIB = 1024 * 1024
LOOP = """
import pathlib, time
def step(count):
    time.sleep(0.005)
    count += 1
    return count
count = 0
pathlib.Path("begun").touch()
print("begun")
while not pathlib.Path("stop").exists():
    count = step(count)
print("stopped")
"""
LINE = 5  # of LOOP: in `step`


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


async def start(peer: LinkPeer, script: str, debug: Literal["listen", "wait"] | None = None, **changes: Any) -> Run:
    command = replace(peer.command({"task.py": script}), debug=debug, **changes)
    await peer.send(command)
    return peer.runs[command.run_id]


def path_of(peer: LinkPeer, run: Run, tmp_path: Path) -> str:
    (path,) = (tmp_path / "state" / "hosts").glob(f"*/runs/{peer.run_id(run)}/files/task.py")
    return str(path)


async def finished(peer: LinkPeer, run: Run) -> RunState:
    await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    return run.finished.state


async def test_a_script_that_waits_stops_at_its_breakpoint_and_goes_on(peer: LinkPeer, tmp_path: Path) -> None:
    run = await start(peer, LOOP, "wait")
    client, name = await debug(peer, run)
    path = path_of(peer, run, tmp_path)
    await client.attach({path: [LINE]})
    thread, frames = await client.stopped()
    assert [(frame["name"], frame["source"]["path"], frame["line"]) for frame in frames] == [
        ("step", path, LINE),
        ("<module>", path, 11),
    ]
    assert await client.evaluate("count + 41", frames[0]) == "41"
    await client.evaluate("pathlib.Path('stop').touch()", frames[1])
    await client.ask("continue", threadId=thread)
    assert await finished(peer, run) is RunState.SUCCEEDED
    assert await peer.ended(name) is None
    assert run.text("stdout") == ["begun", "stopped"]
    assert run.text("system") == [
        "The script waits for a debugger, for at most 600 s. Attach one, or cancel the run.",
        "A debugger has attached; the script begins.",
    ]


async def test_a_message_of_the_debugger_travels_as_one(peer: LinkPeer, tmp_path: Path) -> None:
    run = await start(peer, LOOP, "wait")
    client, _ = await debug(peer, run)
    await client.attach({path_of(peer, run, tmp_path): [LINE]})
    await client.stopped()
    begins = [payload.partition(b"\r\n\r\n") for payload in peer.payloads if payload.startswith(b"Content-Length: ")]
    assert begins
    assert all(body for _, _, body in begins)


async def test_a_debugger_attaches_late_and_once_more_to_a_script_that_runs(peer: LinkPeer, tmp_path: Path) -> None:
    run = await start(peer, LOOP)
    await peer.until(lambda: run.text("stdout") == ["begun"])
    counts = []
    for _ in range(2):
        client, name = await debug(peer, run)
        await client.attach({path_of(peer, run, tmp_path): [LINE]})
        _, frames = await client.stopped()
        counts.append(int(await client.evaluate("count", frames[0])))
        await peer.end_channel(name)  # without a goodbye: the script must go on
    assert 0 < counts[0] < counts[1]
    Path(path_of(peer, run, tmp_path)).with_name("stop").touch()
    assert await finished(peer, run) is RunState.SUCCEEDED


async def test_a_debugger_that_hangs_up_while_the_script_runs_takes_the_next_one_not_along(
    peer: LinkPeer, tmp_path: Path
) -> None:
    run = await start(peer, LOOP)
    await peer.until(lambda: run.text("stdout") == ["begun"])
    for _ in range(2):
        client, name = await debug(peer, run)
        await client.attach({})
        await peer.end_channel(name)
    client, _ = await debug(peer, run)
    await client.attach({path_of(peer, run, tmp_path): [LINE]})
    await client.stopped()


ENDINGS = (
    "import helper\nhelper.divide(0)\n",
    "import sys\nprint('out')\nsys.exit(3)\n",
    "import sys\nsys.exit('no such model')\n",
    "def f(:\n",
    # Handlers of signals can be set on the main thread only.
    "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('usr1'))\nos.kill(os.getpid(), signal.SIGUSR1)\n",
    "import threading\nassert threading.current_thread() is threading.main_thread()\nraise KeyboardInterrupt\n",
    "import os\nos._exit(7)\n",
    "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n",
)


async def test_a_script_under_a_debugger_says_and_ends_what_it_does_without(peer: LinkPeer) -> None:
    helper = "def divide(by):\n    return 1 / by\n"
    pairs = []
    for script in ENDINGS:
        plain = peer.command({"task.py": script, "helper.py": helper})
        debugged = replace(peer.command({"task.py": script, "helper.py": helper}), debug="listen")
        for command in (plain, debugged):
            await peer.send(command)
        pairs.append((peer.runs[plain.run_id], peer.runs[debugged.run_id]))
    for one, other in pairs:
        assert await finished(peer, one) is await finished(peer, other)
        assert one.finished is not None
        assert other.finished is not None
        assert one.finished.error == other.finished.error
        assert one.text("stdout") == other.text("stdout")
        assert one.text("stderr") == other.text("stderr")


async def test_a_script_that_waits_for_a_debugger_can_be_cancelled(peer: LinkPeer) -> None:
    run = await start(peer, LOOP, "wait")
    await peer.until(lambda: bool(run.text("system")))
    await peer.cancel(run)
    assert await finished(peer, run) is RunState.CANCELLED
    assert run.text("stdout") == []


async def test_a_paused_script_holds_up_no_other_and_ends_when_it_is_cancelled(peer: LinkPeer, tmp_path: Path) -> None:
    runs = [await start(peer, LOOP, "wait") for _ in range(2)]
    sessions = []
    for run in runs:
        client, name = await debug(peer, run)
        await client.attach({path_of(peer, run, tmp_path): [LINE]})
        sessions.append((client, name, await client.stopped()))
    assert (await peer.run({"task.py": "print('beside')"})).text("stdout") == ["beside"]
    (client, name, _), (other, _, (thread, frames)) = sessions
    await peer.cancel(runs[0])
    assert await finished(peer, runs[0]) is RunState.CANCELLED
    assert await peer.ended(name) is None
    assert await other.evaluate("count", frames[0]) == "0"
    await other.evaluate("pathlib.Path('stop').touch()", frames[1])
    await other.ask("continue", threadId=thread)
    assert await finished(peer, runs[1]) is RunState.SUCCEEDED


async def test_a_debugged_worker_listens_on_no_port(peer: LinkPeer, tmp_path: Path) -> None:
    run = await start(peer, LOOP.replace('print("begun")', "import os; print(os.getpid(), flush=True)"), "wait")
    client, _ = await debug(peer, run)
    await client.attach({path_of(peer, run, tmp_path): [LINE]})
    _, frames = await client.stopped()
    await peer.until(lambda: bool(run.text("stdout")))
    assert listening_of(int(run.text("stdout")[0])) == []
    opened = "s = __import__('socket').create_server(('127.0.0.1', 0))"
    await client.ask("evaluate", expression=opened, frameId=frames[0]["id"], context="repl")
    assert len(listening_of(int(run.text("stdout")[0]))) == 1  # this test would see one


def listening_of(process: int) -> list[str]:
    """Return the TCP ports on which a process listens, as proc(5) tells them."""
    inodes = {link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    ports = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.append(fields[1])
    return ports


async def test_after_too_long_without_a_link_the_script_goes_on_and_the_computer_is_told_why(tmp_path: Path) -> None:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        run = await start(peer, LOOP, "wait")
        client, name = await debug(peer, run, lost_seconds=0.2)
        path = path_of(peer, run, tmp_path)
        await client.attach({path: [LINE]})
        await client.stopped()
        Path(path).with_name("stop").touch()
        peer.behaviour.refuse_links = True
        await peer.cut()
        folder = RunFolder(Path(path).parents[1])
        async with asyncio.timeout(60):
            while await asyncio.to_thread(folder.end) is None:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
        peer.behaviour.refuse_links = False
        assert await finished(peer, run) is RunState.SUCCEEDED
        reason = await peer.ended(name)
        assert isinstance(reason, DeviceVanishedError)
        assert reason.message == "The link to the computer was lost for 0.2 s; the script goes on."


async def test_a_computer_that_has_forgotten_a_session_has_ended_it(peer: LinkPeer, tmp_path: Path) -> None:
    run = await start(peer, LOOP, "wait")
    client, name = await debug(peer, run)
    path = path_of(peer, run, tmp_path)
    await client.attach({path: [LINE]})
    await client.stopped()
    Path(path).with_name("stop").touch()
    peer.channels.clear()
    await peer.cut()
    await peer.linked(2)
    assert peer.hellos[1].channels is not None
    assert list(peer.hellos[1].channels) == [name]
    assert await finished(peer, run) is RunState.SUCCEEDED


def test_a_python_that_cannot_trace_a_running_script_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debugger, "CAN_ATTACH_LATE", False)
    with ThreadPoolExecutor(1) as thread, pytest.raises(TaskFailedError, match="runs already"):
        thread.submit(debugger.Debugger(MemoryLimit(None), Pauses(Path(), lambda **_: None)).start).result()


class TestMemory:
    """A debugger beside the limit of a task's memory."""

    async def test_what_a_late_debugger_takes_is_not_the_scripts(self, peer: LinkPeer, tmp_path: Path) -> None:
        script = LOOP.replace("count = 0\n", "kept = bytearray(90 * 1024 * 1024)\ncount = 0\n", 1)
        run = await start(peer, script, memory_bytes=96 * MIB)
        await peer.until(lambda: run.text("stdout") == ["begun"])
        client, _ = await debug(peer, run)
        await client.attach({path_of(peer, run, tmp_path): [LINE]})
        thread, frames = await client.stopped()
        await client.evaluate("pathlib.Path('stop').touch()", frames[1])
        await client.ask("continue", threadId=thread)
        assert await finished(peer, run) is RunState.SUCCEEDED

    async def test_a_script_under_a_debugger_has_its_limit(self, peer: LinkPeer) -> None:
        run = await start(
            peer, "kept = []\nwhile True:\n    kept.append(bytearray(1024 * 1024))\n", "listen", memory_bytes=128 * MIB
        )
        assert await finished(peer, run) is RunState.FAILED
        assert run.finished is not None
        assert run.finished.error is not None
        assert run.finished.error["message"].startswith("The task reached its memory limit of 128 MiB: MemoryError")
