"""The link: who is obeyed, and that no record is lost or doubled when it is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import WSMsgType

from edgeloop_companion.events import Linked, LinkLost, Unpaired
from edgeloop_shared.errors import error_from_dict
from edgeloop_shared.messages import Acknowledge, CancelTask, CommandResult, encode_message
from edgeloop_shared.models import RunState

from .companion_fixtures import Observer, companion_at, linked_companion, pairing_with
from .link_peer import LinkPeer

CHATTY = """
import edgeloop_task
for step in range(2000):
    edgeloop_task.report_metric("step", step, step=step)
    print(step)
"""


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer:
        yield peer


async def test_a_welcome_with_a_wrong_proof_is_obeyed_in_nothing(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.wrong_welcome_proof = True
    observer = Observer()
    async with companion_at(tmp_path, observer) as companion:
        companion.serve(pairing_with(peer))
        await observer.until(lambda: len(observer.of(LinkLost)) >= 2)
    assert peer.hellos == []
    assert observer.of(Linked) == []
    assert "does not know this device's key" in str(observer.of(LinkLost)[0])


async def test_another_certificate_is_not_talked_to(peer: LinkPeer, tmp_path: Path) -> None:
    async with LinkPeer().serving() as other:
        pairing = pairing_with(peer)
        other.devices.update(peer.devices)
        observer = Observer()
        async with companion_at(tmp_path, observer) as companion:
            companion.serve(type(pairing)(**{**vars(pairing), "port": other.port}))
            await observer.until(lambda: bool(observer.of(LinkLost)))
        assert "certificate differs" in str(observer.of(LinkLost)[0])
        assert other.hellos == []


async def test_versions_without_overlap_are_explained(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.link_versions = (7,)
    observer = Observer()
    async with companion_at(tmp_path, observer) as companion:
        companion.serve(pairing_with(peer))
        await observer.until(lambda: bool(observer.of(LinkLost)))
    assert "No version in common" in str(observer.of(LinkLost)[0])


@pytest.mark.parametrize("cut_at", [1, 7, 40])
async def test_a_cut_link_loses_and_doubles_nothing(peer: LinkPeer, tmp_path: Path, cut_at: int) -> None:
    peer.behaviour.acknowledge = False  # so that everything sent before the cut is in doubt
    peer.behaviour.cut_at_record = cut_at
    async with linked_companion(tmp_path, peer):
        run = await peer.start({"task.py": CHATTY})
        await peer.linked(times=2)
        peer.behaviour.acknowledge = True
        await peer.acknowledge()
        await peer.until(lambda: run.is_complete)
        assert peer.hellos[0].epoch == peer.hellos[1].epoch
        assert peer.run_id(run) in peer.hellos[1].runs
    assert peer.faults == []
    assert peer.duplicates == 0
    assert run.text("stdout") == [str(step) for step in range(2000)]
    assert [event.step for event in run.events() if hasattr(event, "step")] == list(range(2000))


async def test_a_run_goes_on_while_the_daemon_is_away(peer: LinkPeer, tmp_path: Path) -> None:
    script = """
import pathlib, sys, time
print("waiting", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("done")
"""
    observer = Observer()
    async with linked_companion(tmp_path / "state", peer, observer):
        run = await peer.start({"task.py": script}, str(tmp_path / "go"))
        await peer.until(lambda: run.text("stdout") == ["waiting"])
        await peer.close_link(1001)
        (tmp_path / "go").touch()
        await peer.until(lambda: run.is_complete)
    assert run.text("stdout") == ["waiting", "done"]
    assert "shutting down" in str(observer.of(LinkLost)[0])


async def test_no_more_than_256_records_of_a_stream_wait_for_their_acknowledgement(
    peer: LinkPeer, tmp_path: Path
) -> None:
    peer.behaviour.acknowledge = False
    async with linked_companion(tmp_path, peer):
        run = await peer.start({"task.py": CHATTY})
        await peer.until(lambda: run.last("events") == 256)
        # An answer to a later command shows that the sender has nothing else that it may send.
        await peer.send(CancelTask("probe", "unknown"))
        await peer.until(lambda: len(peer.results) == 2)
        assert run.last("events") == 256
        peer.behaviour.acknowledge = True
        await peer.acknowledge()
        await peer.until(lambda: run.is_complete)


async def test_a_daemon_that_answers_no_ping_any_more_is_dialled_anew(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with linked_companion(tmp_path, peer, observer, heartbeat_seconds=0.6):
        await peer.ping()
        await peer.until(lambda: peer.heartbeats.count(WSMsgType.PING) == 2)  # the first was answered
        assert observer.of(LinkLost) == []
        with peer.frozen():
            await peer.linked(2)
    assert "the connection was lost" in str(observer.of(LinkLost)[0])


async def test_a_revoked_device_forgets_its_pairing(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with companion_at(tmp_path, observer) as companion:
        await companion.pair_by_offer(peer.offer(), _allow)
        await peer.linked()
        peer.devices.clear()
        await peer.close_link(4001)
        await observer.until(lambda: bool(observer.of(Unpaired)))
        await companion.close()
    assert not (tmp_path / "pairings.json").exists()


async def test_a_device_that_the_daemon_does_not_know_stops_dialling(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with companion_at(tmp_path, observer) as companion:
        companion.serve(pairing_with(peer))
        peer.devices.clear()
        await observer.until(lambda: bool(observer.of(Unpaired)))
    assert observer.of(LinkLost) == []


@pytest.mark.parametrize(
    "frame",
    ["not json", '{"type": "unknown"}', b"\x01\x00", encode_message(CommandResult("a")), '{"type": "acknowledge"}'],
)
async def test_a_frame_that_breaks_the_protocol_ends_the_link_and_the_next_one_works(
    peer: LinkPeer, tmp_path: Path, frame: str | bytes
) -> None:
    async with linked_companion(tmp_path, peer):
        await peer.send_raw(frame)
        await peer.linked(times=2)
        assert peer.close_codes == [1002]
        run = await peer.run({"task.py": "print('works')"})
        assert run.text("stdout") == ["works"]


async def test_an_acknowledgement_of_what_was_never_sent_ends_the_link(peer: LinkPeer, tmp_path: Path) -> None:
    async with linked_companion(tmp_path, peer):
        peer.behaviour.acknowledge = False
        run = await peer.start({"task.py": "pass"})
        await peer.until(lambda: run.last("events") > 0)
        await peer.send(Acknowledge({f"{peer.run_id(run)}.events": 10_000}))
        await peer.linked(times=2)
        assert peer.close_codes == [1002]


async def test_cancelling_an_unknown_run_is_refused_clearly(peer: LinkPeer, tmp_path: Path) -> None:
    async with linked_companion(tmp_path, peer):
        await peer.send(CancelTask("c1", "nowhere"))
        await peer.until(lambda: bool(peer.results))
    assert peer.results[0].error is not None
    assert error_from_dict(peer.results[0].error).code == "not-found"


async def test_a_command_with_a_script_outside_its_bundle_is_a_fault(peer: LinkPeer, tmp_path: Path) -> None:
    async with linked_companion(tmp_path, peer):
        command = encode_message(peer.command({"task.py": "print('never')"}))
        await peer.send_raw(command.replace('"task.py"', '"../task.py"'))
        await peer.linked(times=2)
    assert peer.close_codes[0] == 1002
    assert peer.blobs.downloads == []


async def test_a_companion_that_ends_cancels_its_runs_and_says_so(peer: LinkPeer, tmp_path: Path) -> None:
    async with linked_companion(tmp_path, peer):
        run = await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"})
        await peer.until(lambda: run.text("stdout") == ["begun"])
    assert run.finished is not None
    assert run.finished.state is RunState.CANCELLED
    assert peer.close_codes == [1001]


async def test_several_daemons_are_served_each_with_its_own_runs(peer: LinkPeer, tmp_path: Path) -> None:
    async with LinkPeer(host_name="other").serving() as other, linked_companion(tmp_path, peer) as companion:
        companion.serve(pairing_with(other))
        await other.linked()
        first = await peer.run({"task.py": "print('for one')"})
        second = await other.run({"task.py": "print('for the other')"})
        assert first.text("stdout") == ["for one"]
        assert second.text("stdout") == ["for the other"]
        assert set(peer.runs).isdisjoint(other.runs)


async def _allow(_: str) -> bool:
    return True
