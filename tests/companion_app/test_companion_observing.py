"""Looking on at the runs of a device: what a screen is told, and what it can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.observing import OnSeen, ScriptPaused, ScriptResumed, Seen, TakenRun
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import LogLine, MetricReported, ResultReported, TaskFinished, TransferProgress
from edgeloop_shared.traces import OperatorTable, TraceBatch

from .companion_fixtures import linked_companion
from .debug_client import debug
from .link_peer import LinkPeer


class Onlooker:
    """Remembers the runs that came and what was seen of each."""

    def __init__(self) -> None:
        self.runs: list[tuple[Pairing, TakenRun]] = []
        self.seen: list[Seen] = []
        self._more = asyncio.Event()

    def __call__(self, pairing: Pairing, run: TakenRun) -> OnSeen:
        self.runs.append((pairing, run))
        return self._see

    def of(self, *kinds: type) -> list[Seen]:
        return [one for one in self.seen if isinstance(one, kinds)]

    async def until(self, *wanted: Seen) -> None:
        """Wait until all of that was seen."""
        async with asyncio.timeout(30):
            while not all(one in self.seen for one in wanted):
                self._more.clear()
                await self._more.wait()

    def _see(self, seen: Sequence[Seen]) -> None:
        self.seen += seen
        self._more.set()


@pytest.fixture
def onlooker() -> Onlooker:
    return Onlooker()


@pytest.fixture
async def peer(tmp_path: Path, onlooker: Onlooker) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer, observe=onlooker):
        yield peer


async def test_all_that_a_run_says_is_seen(peer: LinkPeer, onlooker: Onlooker, models: Path) -> None:
    script = f"""
import edgeloop_task, sys
print("hello")
edgeloop_task.report_metric("loss", 0.5, step=3)
edgeloop_task.report_result(accuracy=0.75)
model = edgeloop_task.load_model({str(models / "planted.mnn")!r})
model([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]])
"""
    run = await peer.run({"task.py": script}, trace=True)
    await onlooker.until(RunState.SUCCEEDED)
    ((pairing, taken),) = onlooker.runs
    assert (pairing.host_name, taken.command.run_id) == ("test-host", peer.run_id(run))
    assert (taken.command.script, taken.is_taken_over) == ("task.py", False)
    assert onlooker.of(RunState) == [RunState.PREPARING, RunState.RUNNING, RunState.SUCCEEDED]
    assert [line.text for line in onlooker.of(LogLine) if isinstance(line, LogLine)] == ["hello"]
    assert onlooker.of(MetricReported, ResultReported) == [
        MetricReported("loss", 0.5, 3),
        ResultReported({"accuracy": 0.75}),
    ]
    assert onlooker.of(TransferProgress)
    (table,) = onlooker.of(OperatorTable)
    (batch,) = onlooker.of(TraceBatch)
    assert isinstance(table, OperatorTable)
    assert isinstance(batch, TraceBatch)
    assert len(batch) == len(table.operators)
    assert isinstance(onlooker.seen[-2], TaskFinished)


async def test_the_devices_user_stops_a_run_and_its_computer_is_told_so(peer: LinkPeer, onlooker: Onlooker) -> None:
    run = await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"})
    await peer.until(lambda: run.text("stdout") == ["begun"])
    ((_, taken),) = onlooker.runs
    await taken.stop()
    await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.state is RunState.CANCELLED
    assert run.finished.error is not None
    assert run.finished.error["code"] == "cancelled"
    assert run.finished.error["message"] == "The run was stopped on the device, by its user."
    await onlooker.until(RunState.CANCELLED)


async def test_a_run_that_its_computer_ends_says_nothing_of_the_device(peer: LinkPeer, onlooker: Onlooker) -> None:
    run = await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"})
    await peer.until(lambda: run.text("stdout") == ["begun"])
    await peer.cancel(run)
    await onlooker.until(RunState.CANCELLED)
    await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.error is None


async def test_it_is_seen_where_a_debugger_holds_the_script_and_that_it_lets_go(
    peer: LinkPeer, onlooker: Onlooker, tmp_path: Path
) -> None:
    files = {
        "task.py": "import helper\nhelper.work()\n",
        "helper.py": "def work():\n    answer = 42\n    return answer\n",
    }
    command = replace(peer.command(files), debug="wait")
    await peer.send(command)
    run = peer.runs[command.run_id]
    client, _ = await debug(peer, run)
    (path,) = (tmp_path / "state" / "hosts").glob("*/runs/*/files/helper.py")
    await client.attach({str(path): [3]})
    thread, _ = await client.stopped()
    await onlooker.until(ScriptPaused("helper.py", 3))
    assert ScriptResumed() not in onlooker.seen
    await client.ask("continue", threadId=thread)
    await onlooker.until(ScriptResumed(), RunState.SUCCEEDED)


async def test_a_debugger_that_goes_lets_the_script_go_on(peer: LinkPeer, onlooker: Onlooker, tmp_path: Path) -> None:
    command = replace(peer.command({"task.py": "answer = 42\nprint(answer)\n"}), debug="wait")
    await peer.send(command)
    client, channel = await debug(peer, peer.runs[command.run_id])
    (path,) = (tmp_path / "state" / "hosts").glob("*/runs/*/files/task.py")
    await client.attach({str(path): [2]})
    await client.stopped()
    await onlooker.until(ScriptPaused("task.py", 2))
    await peer.end_channel(channel)
    await onlooker.until(ScriptResumed(), RunState.SUCCEEDED)


async def test_who_looks_on_and_fails_harms_no_run(peer: LinkPeer, onlooker: Onlooker) -> None:
    def fail(seen: Sequence[Seen]) -> None:
        raise RuntimeError("the screen is broken")

    onlooker._see = fail  # type: ignore[method-assign]
    run = await peer.run({"task.py": "print('hello')"})
    assert run.finished is not None
    assert (run.finished.state, run.text("stdout")) == (RunState.SUCCEEDED, ["hello"])
