"""A companion without a screen is controlled by other processes of its user."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion import control
from edgeloop_companion.companion import Companion
from edgeloop_companion.control import Action, DeviceTask, PairedComputer, Request, controlled, request_of
from edgeloop_companion.events import Forgotten, Linked
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, NotFoundError
from edgeloop_shared.process_lock import held

from .companion_fixtures import Observer, allow, companion_at, pairing_with
from .link_peer import LinkPeer


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@contextlib.asynccontextmanager
async def controlled_at(folder: Path, observer: Observer) -> AsyncIterator[Companion]:
    """Run a companion that takes requests and holds the lock of its folder."""
    state_folder = await asyncio.to_thread(StateFolder, folder)
    with held(state_folder.lock) as is_ours:
        assert is_ours
        async with companion_at(folder, observer) as companion, controlled(companion, state_folder.control):
            yield companion


async def ask(folder: Path, action: Action, computer: str = "") -> tuple[PairedComputer, ...]:
    return (await asyncio.to_thread(request_of, folder, Request(action, computer))).computers


async def ask_tasks(folder: Path, action: Action = "tasks", run: str = "") -> tuple[DeviceTask, ...]:
    return (await asyncio.to_thread(request_of, folder, Request(action, run=run))).tasks


async def test_computers_are_listed_switched_and_forgotten(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with controlled_at(tmp_path, observer) as companion:
        assert await ask(tmp_path, "list") == ()
        pairing = await companion.pair_by_offer(peer.offer(), allow)
        await observer.until(lambda: bool(observer.of(Linked)))
        (linked,) = await ask(tmp_path, "list")
        assert (linked.device_id, linked.name, linked.state) == (pairing.device_id, "laptop", "linked")
        assert (linked.addresses, linked.port, linked.runs) == (("127.0.0.1",), peer.port, 0)
        (off,) = await ask(tmp_path, "off", "laptop")
        assert off.state == "off"
        assert off.last_seen is not None
        await ask(tmp_path, "on", pairing.device_id)
        await peer.linked(times=2)
        await observer.until(lambda: len(observer.of(Linked)) == 2)
        assert await ask(tmp_path, "forget", "laptop") == ()
        assert observer.events[-1] == Forgotten("laptop", pairing.device_id, is_told=True)
    assert not (tmp_path / "control").exists()


async def test_the_doctor_asks_the_companion_beside_it_whether_it_is_announced(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "edgeloop_companion", "--doctor", "--json", "--state", str(tmp_path))
    async with controlled_at(tmp_path, Observer()):
        doctor = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await doctor.communicate()
    (mdns,) = [one for one in json.loads(printed)["items"] if one["check"] == "mdns"]
    assert mdns["found"] == "This device is not announced."


async def test_where_no_companion_runs_it_is_done_all_the_same(peer: LinkPeer, tmp_path: Path) -> None:
    async with companion_at(tmp_path) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
    assert [one.state for one in await ask(tmp_path, "list")] == ["away"]
    assert [one.state for one in await ask(tmp_path, "off", "laptop")] == ["off"]
    async with companion_at(tmp_path) as companion:
        assert companion.hosts == ()
    assert await ask(tmp_path, "forget", "laptop") == ()
    assert peer.unpaired != []
    assert not (tmp_path / "pairings.json").exists()


async def test_tasks_are_listed_and_stopped_and_their_computer_is_told(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with controlled_at(tmp_path, observer) as companion:
        assert await ask_tasks(tmp_path) == ()
        pairing = await companion.pair_by_offer(peer.offer(), allow)
        await observer.until(lambda: bool(observer.of(Linked)))
        first, second = [await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"}) for _ in "12"]
        await peer.until(lambda: first.text("stdout") == second.text("stdout") == ["begun"])
        listed = await ask_tasks(tmp_path)
        assert [(one.run, one.state) for one in listed] == [(peer.run_id(run), "running") for run in (first, second)]
        assert {(one.computer, one.device_id) for one in listed} == {("laptop", pairing.device_id)}
        assert {(one.workspace, one.script) for one in listed} == {("workspace", "task.py")}
        assert await ask_tasks(tmp_path, "stop", peer.run_id(first)) == listed[1:]
        await peer.until(lambda: first.is_complete)
        assert first.finished is not None
        assert first.finished.error is not None
        assert first.finished.error["message"] == "The run was stopped on the device, by its user."
        with pytest.raises(NotFoundError, match="No task") as refused:
            await ask_tasks(tmp_path, "stop", peer.run_id(first))
        assert "--tasks" in refused.value.hint
    assert await ask_tasks(tmp_path) == ()
    with pytest.raises(NotFoundError, match="No task"):
        await ask_tasks(tmp_path, "stop", peer.run_id(second))


async def test_a_computer_that_is_not_there_and_a_name_that_two_have_are_refused(
    peer: LinkPeer, tmp_path: Path
) -> None:
    async with LinkPeer(host_name="laptop").serving() as other, controlled_at(tmp_path, Observer()) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        await companion.pair_by_offer(other.offer(), allow)
        with pytest.raises(NotFoundError, match="'desk'"):
            await ask(tmp_path, "forget", "desk")
        with pytest.raises(InvalidInputError, match="2 computers") as refused:
            await ask(tmp_path, "forget", "laptop")
        assert companion.pairings[0].device_id in refused.value.hint


@pytest.mark.parametrize("request_line", [b"\n", b"{}\n", b'{"action": "destroy"}\n', b"x" * 10_000 + b"\n"])
async def test_what_is_no_request_is_refused(tmp_path: Path, request_line: bytes) -> None:
    async with controlled_at(tmp_path, Observer()):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control")
        writer.write(request_line)
        answer = json.loads(await reader.readline())
        assert answer["error"]["code"] in ("invalid-message", "invalid-input")
        writer.close()
        assert await ask(tmp_path, "list") == ()


async def test_who_asks_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with controlled_at(tmp_path, Observer()):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control")
        assert await ask(tmp_path, "list") == ()  # so the silent one before it is served by now
    assert not await reader.readline()
    writer.close()


async def test_what_was_asked_for_is_carried_out_although_the_companion_ends(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with controlled_at(tmp_path, observer) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        await observer.until(lambda: bool(observer.of(Linked)))
        asking = asyncio.create_task(ask(tmp_path, "forget", "laptop"))
        await observer.until(lambda: not companion.pairings)
    assert await asking == ()
    assert observer.of(Forgotten)


async def test_what_cannot_be_stored_is_said(peer: LinkPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with controlled_at(tmp_path, Observer()) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        monkeypatch.setattr(Pairings, "update", full)
        with pytest.raises(EdgeloopError, match="No space left"):
            await ask(tmp_path, "off", "laptop")
        monkeypatch.undo()


async def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with controlled_at(tmp_path, Observer()) as companion:
        companion.serve(pairing_with(LinkPeer()))
        monkeypatch.setattr(control, "peer_uid", lambda _: os.getuid() + 1)
        with pytest.raises(InvalidInputError, match="Only the user"):
            await ask(tmp_path, "list")


async def test_the_socket_lies_in_a_folder_of_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    async with controlled_at(folder, Observer()):
        assert stat.S_ISSOCK((folder / "control").stat().st_mode)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_companion_that_does_not_answer_is_said(tmp_path: Path) -> None:
    state_folder = await asyncio.to_thread(StateFolder, tmp_path)
    with held(state_folder.lock), pytest.raises(EdgeloopError, match="does not answer"):
        await ask(tmp_path, "list")
