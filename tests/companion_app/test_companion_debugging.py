"""Debugging a running script through its device's link: real debugpy, real workers, links that are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from edgeloop_shared.models import RunState

from .companion_fixtures import linked_companion
from .debug_client import debug
from .link_peer import LinkPeer, Run

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
