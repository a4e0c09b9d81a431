"""The headless companion as a process: its options, its lines of JSON, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.bounded_output import LIMIT_BYTES
from edgeloop_shared.pairing import new_code, show_code
from edgeloop_shared.process_lock import is_held

from .companion_fixtures import pairing_with
from .link_peer import LinkPeer


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@contextlib.asynccontextmanager
async def companion(state: Path, *options: str, secret: str | None = None) -> AsyncIterator[Process]:
    """Run `python -m edgeloop_companion` for the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeloop_companion", "--state", str(state), "--name", "phone", *options),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    if secret is not None:
        process.stdin.write(secret.encode())
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def event(process: Process, name: str) -> dict[str, Any]:
    """Return the next status event called `name`."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            record: dict[str, Any] = json.loads(line)
            if record["event"] == name:
                return record
    raise AssertionError(f"the companion ended without the event {name}")


async def test_it_pairs_by_an_offer_links_and_ends_cleanly_on_sigterm(peer: LinkPeer, tmp_path: Path) -> None:
    offer = tmp_path / "offer"
    offer.write_text(peer.offer().text())
    state = tmp_path / "state"
    async with companion(state, "--virtual", "--allow", "--pair-offer-file", str(offer)) as process:
        assert (await event(process, "paired"))["host"] == "laptop"
        assert (await event(process, "linked"))["host"] == "laptop"
        await peer.linked()
        assert is_held(state / "lock")
        [info] = peer.infos.values()
        assert (info.name, info.is_virtual) == ("phone", True)
        run = await peer.start({"task.py": "import os\nprint(os.getpid(), flush=True)\nwhile True: pass"})
        await peer.until(lambda: len(run.text("stdout")) == 1)
        process.terminate()
        assert await process.wait() == 0
        await peer.until(lambda: run.is_complete)
        assert run.finished is not None
        assert run.finished.state == "cancelled"
        assert peer.close_codes == [1001]
        with pytest.raises(ProcessLookupError):
            os.kill(int(run.text("stdout")[0]), 0)
    async with companion(state) as process:
        await event(process, "linked")


async def test_it_pairs_by_a_code_from_standard_input(peer: LinkPeer, tmp_path: Path) -> None:
    code = new_code()
    peer.window = code.encode()
    options = ("--allow", "--pair-address", f"127.0.0.1:{peer.port}", "--pair-code-file", "-")
    async with companion(tmp_path / "state", *options, secret=show_code(code) + "\n") as process:
        await event(process, "linked")


async def test_without_consent_it_refuses_to_pair(peer: LinkPeer, tmp_path: Path) -> None:
    async with companion(tmp_path / "state", "--pair-offer-file", "-", secret=peer.offer().text()) as process:
        error = (await event(process, "failed"))["error"]
        assert await process.wait() == 1
    assert error["code"] == "pairing-failed"
    assert "--allow" in error["hint"]
    assert not peer.devices


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), "not-paired"),
        (("--allow", "--pair-offer-file", "missing"), "invalid-input"),
        (("--allow", "--pair-offer-file", "-"), "invalid-input"),
        (("--allow", "--pair-address", "nowhere", "--pair-code-file", "-"), "invalid-input"),
        (("--allow", "--pair-address", "127.0.0.1:1"), "invalid-input"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_event(tmp_path: Path, options: tuple[str, ...], code: str) -> None:
    async with companion(tmp_path / "state", *options, secret="nonsense") as process:
        assert (await event(process, "failed"))["error"]["code"] == code
        assert await process.wait() == 1


async def test_a_second_companion_on_the_same_folder_is_refused(peer: LinkPeer, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with companion(state, "--allow", "--pair-offer-file", "-", secret=peer.offer().text()) as first:
        await event(first, "linked")
        async with companion(state) as second:
            error = (await event(second, "failed"))["error"]
            assert await second.wait() == 1
        assert error["code"] == "conflict"
        assert str(state) in error["message"]
        assert first.returncode is None


async def test_what_a_virtual_device_prints_into_its_folder_stays_short(peer: LinkPeer, tmp_path: Path) -> None:
    state, offer = tmp_path / "state", tmp_path / "offer"
    state.mkdir()
    offer.write_text(peer.offer().text())
    printed = [state / "events.jsonl", state / "companion.log"]
    for path in printed:
        path.write_text('{"event": "earlier"}\n' * 100_000)
    arguments = ["--state", str(state), "--name", "phone", "--virtual", "--allow", "--pair-offer-file", str(offer)]
    with printed[0].open("ab") as output, printed[1].open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgeloop_companion", *arguments), stdout=output, stderr=errors
        )
    try:
        await peer.linked()
    finally:
        process.terminate()
        await process.wait()

    assert [path.stat().st_size <= LIMIT_BYTES for path in printed] == [True, True]
    events = [json.loads(line)["event"] for line in printed[0].read_text().splitlines()]
    assert events[0] == "earlier"
    assert [event for event in events if event in ("paired", "linked")] == ["paired", "linked"]


async def test_another_process_lists_and_ends_the_tasks_and_computers_of_one_that_runs(
    peer: LinkPeer, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with companion(state, "--allow", "--pair-offer-file", "-", secret=peer.offer().text()) as process:
        linked = await event(process, "linked")
        async with companion(state, "--computers") as asking:
            assert asking.stdout is not None
            listed = json.loads(await asking.stdout.readline())["computer"]
            assert await asking.wait() == 0
        assert (listed["device_id"], listed["name"], listed["state"]) == (linked["device_id"], "laptop", "linked")
        run = await peer.start({"task.py": "while True: pass"})
        await event(process, "run-changed")
        async with companion(state, "--tasks") as asking:
            assert asking.stdout is not None
            task = json.loads(await asking.stdout.readline())["task"]
        assert (task["run"], task["computer"], task["script"]) == (peer.run_id(run), "laptop", "task.py")
        async with companion(state, "--stop", task["run"]) as asking:
            assert asking.stdout is not None
            assert await asking.stdout.read() == b""  # nothing else is at work
            assert await asking.wait() == 0
        async with companion(state, "--stop", task["run"]) as asking:
            assert asking.stdout is not None
            assert json.loads(await asking.stdout.readline())["error"]["code"] == "not-found"
            assert await asking.wait() == 1
        async with companion(state, "--forget", "laptop") as asking:
            assert await asking.wait() == 0
        assert (await event(process, "forgotten"))["is_told"] is True
        assert process.returncode is None  # it can be paired anew


async def test_a_companion_that_is_paired_no_more_tells_who_does_not_know_before_it_ends(
    peer: LinkPeer, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    pairing = pairing_with(peer)

    def forget() -> None:
        pairings = Pairings(StateFolder(state).pairings)
        pairings.add(pairing)
        pairings.give_up(pairing)

    await asyncio.to_thread(forget)
    async with companion(state) as process:
        assert (await event(process, "failed"))["error"]["code"] == "not-paired"
        assert await process.wait() == 1
    assert peer.unpaired == [pairing.device_id]
    assert not (state / "pairings.json").exists()
