"""A device whose disk is really full: its state folder is a file system of 4 MiB, and a script prints twice as much."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.codec import decode_json
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import Gap, ResultReported

from .companion_fixtures import pairing_with
from .link_peer import LinkPeer
from .received_run import Run

_MOUNT = 'mount -t tmpfs -o size=4m,mode=700 none "$0" && cp "$1" "$0" && shift && exec "$@"'
LINES, LINE_BYTES = 8_000, 1000
FLOOD = f"""
import edgeloop_task
for number in range({LINES}):
    print(str(number).ljust({LINE_BYTES}, "."))
edgeloop_task.report_result(answer=42)
"""


@asynccontextmanager
async def small_phone(peer: LinkPeer, tmp_path: Path) -> AsyncIterator[Path]:
    """Run a companion on a file system of its own that nobody else sees; yield where the folder is seen from here."""
    state, pairings = tmp_path / "state", StateFolder(tmp_path / "paired").pairings
    state.mkdir()
    await asyncio.to_thread(Pairings(pairings).add, pairing_with(peer))
    command = (sys.executable, "-m", "edgeloop_companion", "--state", str(state), "--name", "phone")
    process = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "sh", "-c", _MOUNT, str(state), str(pairings), *command, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await peer.linked()
        yield Path(f"/proc/{process.pid}/root{state}")
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer:
        yield peer


def told_missing(run: Run) -> int:
    """Return how many lines the gaps of a run's output name."""
    records = run.records.get("logs", [])
    return sum(decode_json(Gap, record.payload, max_bytes=65536).items for record in records if record.is_gap)


def check_accounted_for(run: Run) -> None:
    """Check that each line has come once and in order, or is counted in a gap; and that all else has come."""
    numbers = [int(line.rstrip(".")) for line in run.text("stdout")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + told_missing(run) == LINES
    assert run.finished is not None
    assert (run.finished.state, run.finished.error) == (RunState.SUCCEEDED, None)
    assert ResultReported({"answer": 42}) in run.events()


async def works(peer: LinkPeer) -> bool:
    run = await peer.run({"task.py": "print('fine')"})
    return run.text("stdout") == ["fine"]


async def test_a_flood_over_a_link_ends_well_and_the_next_run_as_well(peer: LinkPeer, tmp_path: Path) -> None:
    async with small_phone(peer, tmp_path):
        run = await peer.start({"task.py": FLOOD})
        await peer.until(lambda: run.is_complete, 45)
        check_accounted_for(run)
        assert await works(peer)
    assert peer.faults == []


async def test_a_bundle_for_which_there_is_no_room_is_refused_before_anything_of_it_comes(
    peer: LinkPeer, tmp_path: Path
) -> None:
    async with small_phone(peer, tmp_path) as state:
        before = {path.name for path in state.glob("blobs/*")}
        run = await peer.run({"task.py": "print('never')", "model.mnn": bytes(range(256)) * 8 * 1024})
        assert run.finished is not None
        error = run.finished.error
        assert error is not None
        assert error["code"] == "storage-full"
        assert "free" in error["message"]
        assert error["details"]["needed"] > 2 * 2 * 1024**2 > error["details"]["free"]
        (manifest,) = {path.name for path in state.glob("blobs/*")} - before
        assert len(manifest) == 64
        assert list(state.glob("blobs/partial/*")) == []
        assert await works(peer)


async def test_a_flood_without_a_link_leaves_gaps_and_its_result_comes_later(peer: LinkPeer, tmp_path: Path) -> None:
    async with small_phone(peer, tmp_path) as state:
        run = await peer.start({"task.py": FLOOD})
        await peer.until(lambda: bool(run.text("stdout")))
        peer.behaviour.refuse_links = True
        await peer.cut()
        async with asyncio.timeout(45):
            while list(state.glob("hosts/*/runs/*/journal.*")):  # noqa: ASYNC110 - its folder alone tells
                await asyncio.sleep(0.02)
        peer.behaviour.refuse_links = False
        await peer.until(lambda: run.is_complete, 45)
        check_accounted_for(run)
        assert told_missing(run)
        assert await works(peer)
        (kept,), (made,) = Pairings(state / "pairings.json"), Pairings(tmp_path / "paired" / "pairings.json")
        assert replace(kept, last_seen=None) == made
    assert peer.faults == []
