"""What a device tells its user of itself, and the storage that they clear."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.store.device_facts import DeviceFactsStore, Engine, ask_engine
from edgeloop_companion.ui.quantities import byte_count
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.models import RunState

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer


class WarmVitals:
    """A device that has become warm."""

    def read(self) -> Vitals:
        return Vitals(battery_percent=81, battery_celsius=38.5)


async def nothing_to_clear() -> int:
    return 0


async def test_mnn_is_asked_in_a_process_of_its_own_which_backends_work_here() -> None:
    engine = await ask_engine()
    assert engine.problem == ""
    assert engine.version.startswith("3.")
    assert "cpu" in engine.backends


async def test_why_mnn_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "MNN"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libMNN.so is of another processor')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "libMNN.so is of another processor" in (await ask_engine()).problem
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    assert "no process can be started" in (await ask_engine()).problem


async def test_the_facts_are_those_of_now(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)

    async def engine() -> Engine:
        return Engine("3.6", ("cpu",))

    store = DeviceFactsStore(WarmVitals(), blobs, nothing_to_clear, engine)
    await store.refresh()
    assert store.facts.value.vitals == WarmVitals().read()
    assert store.facts.value.blob_bytes == 0
    blobs.path("one").write_bytes(bytes(1000))
    await store.refresh()
    assert store.facts.value.blob_bytes == 1000


def test_what_was_wanted_lately_is_not_cleared(tmp_path: Path) -> None:
    blobs, hour_ago = BlobStore(tmp_path), time.time() - 3600
    for name in ("old", "asked", "new"):
        blobs.path(name).write_bytes(b"12345")
    blobs.partial("half", "laptop").write_bytes(b"123")
    for path in (blobs.path("old"), blobs.path("asked"), blobs.partial("half", "laptop")):
        os.utime(path, (hour_ago, hour_ago))
    assert blobs.has("asked", 5)
    assert blobs.used_bytes() == 18
    assert blobs.clear(time.time() - 60) == 8
    assert blobs.used_bytes() == 10
    assert not blobs.has("old", 5)


def age(state: Path) -> int:
    """Have all blobs and all runs in a state folder come an hour ago; return how many bytes the blobs have."""
    hour_ago = time.time() - 3600
    blobs = [path for path in (state / "blobs").iterdir() if path.is_file()]
    for path in (*blobs, *(path for path in (state / "hosts").rglob("command.json"))):
        os.utime(path, (hour_ago, hour_ago))
    return sum(path.stat().st_size for path in blobs)


async def test_blobs_that_a_run_needs_stay_until_it_is_over(tmp_path: Path) -> None:
    """They came an hour ago, as did the run: it still works on them, or will send one of them."""
    blobs = BlobStore(tmp_path / "blobs")
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer) as companion:
        run = await peer.start({"task.py": "print('begun', flush=True)\nwhile True:\n    pass"})
        await peer.until(lambda: run.text("stdout") == ["begun"])
        used = await asyncio.to_thread(age, tmp_path)
        assert used > 0
        assert await companion.clear_blobs() == 0
        await peer.cancel(run)
        await peer.until(lambda: run.is_complete)
        assert run.finished is not None
        assert run.finished.state is RunState.CANCELLED
        while companion.hosts[0].run_count:
            await peer.ping()
        assert await companion.clear_blobs() == used
    assert blobs.used_bytes() == 0


async def test_another_name_is_told_with_the_next_link(tmp_path: Path) -> None:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer) as companion:
        companion.rename("Pixel 9")
        await peer.cut()
        await peer.linked(2)
        assert peer.hellos[-1].info.name == "Pixel 9"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (812_345, "812 kB"), (1_449_000_000, "1.4 GB"), (250e9, "250 GB"), (3e15, "3000 TB")],
)
def test_bytes_are_read_in_units_of_a_thousand(count: int, text: str) -> None:
    assert byte_count(int(count)) == text
