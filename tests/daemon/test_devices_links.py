"""Links over the real device port: who gets one, and how records come through it exactly once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Caller, Identity, Link, RefusedError, call, challenge, link, link_headers

from edgeloop_daemon.devices import link as live_link
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import BadProofError, MessageError, NotPairedError, StorageFullError, VersionMismatchError
from edgeloop_shared.messages import CancelTask, Unpair, encode_message
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Record, pack_record, split
from edgeloop_shared.run_events import LogLine, MetricReported, ResultReported, TaskStarted, encode_event

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


async def refused_link(caller: Caller, headers: dict[str, str]) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        await caller.ask("GET", "/v1/link", headers={**UPGRADE, **headers})
    return refused.value


async def test_a_wrong_key_is_refused(phone: Identity) -> None:
    stranger = replace(phone, key=secrets.token_bytes(32))
    async with call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(stranger, await challenge(caller), secrets.token_bytes(32)))
    assert (refused.status, type(refused.error)) == (401, BadProofError)


async def test_a_device_that_nobody_knows_is_told_so(phone: Identity) -> None:
    stranger = replace(phone, id="dunknown")
    async with call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(stranger, await challenge(caller), secrets.token_bytes(32)))
    assert (refused.status, type(refused.error)) == (401, NotPairedError)


async def test_a_nonce_works_once(phone: Identity) -> None:
    async with call(phone.port) as caller:
        server_nonce = await challenge(caller)
        wrong = link_headers(replace(phone, key=bytes(32)), server_nonce, bytes(32))
        await refused_link(caller, wrong)
        refused = await refused_link(caller, link_headers(phone, server_nonce, bytes(32)))
    assert (refused.status, type(refused.error)) == (401, BadProofError)


async def test_a_proof_that_was_overheard_is_worthless_on_another_connection(phone: Identity) -> None:
    async with call(phone.port) as caller, call(phone.port) as thief:
        proof = link_headers(phone, await challenge(caller), bytes(32))
        await challenge(thief)
        refused = await refused_link(thief, proof)
    assert isinstance(refused.error, BadProofError)


async def test_a_proof_for_another_certificate_is_refused(phone: Identity) -> None:
    elsewhere = replace(phone, certificate=secrets.token_bytes(32))
    async with call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(elsewhere, await challenge(caller), bytes(32)))
    assert isinstance(refused.error, BadProofError)


async def test_versions_are_part_of_the_proof_and_a_mismatch_is_explained(phone: Identity) -> None:
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), bytes(32), "1,2")
        refused = await refused_link(caller, {**headers, "Edgeloop-Versions": "2"})
        assert isinstance(refused.error, BadProofError)
        refused = await refused_link(caller, link_headers(phone, await challenge(caller), bytes(32), "2,3"))
    assert (refused.status, type(refused.error)) == (426, VersionMismatchError)
    assert refused.error.details == {"ours": [1], "theirs": [2, 3]}


@pytest.mark.parametrize("credentials", ["Bearer x", "Edgeloop", "Edgeloop a.b.c", "Edgeloop " + "a" * 2000, ""])
async def test_credentials_of_another_form_are_refused(phone: Identity, credentials: str) -> None:
    async with call(phone.port) as caller:
        await challenge(caller)
        refused = await refused_link(caller, {"Authorization": credentials, "Edgeloop-Versions": "1"})
    assert (refused.status, type(refused.error)) == (401, BadProofError)


async def test_a_request_that_asks_for_no_websocket_is_refused(phone: Identity) -> None:
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), bytes(32))
        with pytest.raises(RefusedError) as refused:
            await caller.ask("GET", "/v1/link", headers=headers)
    assert isinstance(refused.value.error, MessageError)


async def test_revoking_a_device_ends_its_link_and_refuses_the_next(daemon: DeviceDaemon, phone: Identity) -> None:
    await daemon.pair("other")  # keeps the port open
    async with link(phone) as linked:
        await daemon.devices.revoke(phone.id)
        assert await linked.closed() == 4001
    async with call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(phone, await challenge(caller), bytes(32)))
    assert isinstance(refused.error, NotPairedError)
    assert [device.info.name for device in daemon.devices.list()] == ["other"]


async def test_a_device_whose_revoking_cannot_be_stored_stays_paired_and_linked(
    daemon: DeviceDaemon, phone: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: object) -> None:
        raise StorageFullError("There is no room left.")

    async with link(phone):
        monkeypatch.setattr(daemon.database, "write", full)
        with pytest.raises(StorageFullError):
            await daemon.devices.revoke(phone.id)
        monkeypatch.undo()
        assert daemon.devices.get(phone.id).is_linked
    async with link(phone) as linked:
        await daemon.devices.revoke(phone.id)
        assert await linked.closed() == 4001


async def test_a_device_that_links_while_it_is_revoked_has_no_link_then(
    daemon: DeviceDaemon, phone: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing, go_on = daemon.database.write, asyncio.Event(), asyncio.Event()

    async def slow(change: Callable[[Tables], object]) -> object:
        writing.set()
        await go_on.wait()
        return await write(change)

    await daemon.pair("other")  # keeps the port open
    monkeypatch.setattr(daemon.database, "write", slow)
    revoking = asyncio.create_task(daemon.devices.revoke(phone.id))
    await writing.wait()
    async with link(phone) as linked:
        go_on.set()
        await revoking
        assert await linked.closed() == 4001
    assert [device.info.name for device in daemon.devices.list()] == ["other"]


async def test_a_device_that_is_revoked_by_two_at_once_is_so_once(daemon: DeviceDaemon, phone: Identity) -> None:
    await asyncio.gather(daemon.devices.revoke(phone.id), daemon.devices.revoke(phone.id))
    events = await daemon.database.read(lambda db: db.execute("select data_json from events").fetchall())
    assert len([data for (data,) in events if "by_device" in data]) == 1


async def test_a_device_that_asks_for_it_is_unpaired_and_its_last_records_are_kept(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    await daemon.pair("other")
    async with link(phone) as linked:
        await linked.socket.send_str(encode_message(Unpair(phone.id)))
        assert await linked.closed() == 4001
    async with call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(phone, await challenge(caller), bytes(32)))
    assert isinstance(refused.error, NotPairedError)
    assert [device.info.name for device in daemon.devices.list()] == ["other"]
    events = await daemon.database.read(lambda db: db.execute("select data_json from events").fetchall())
    assert [data for (data,) in events if "by_device" in data] == [f'{{"device":"{phone.id}","by_device":true}}']


async def test_a_device_cannot_unpair_another(daemon: DeviceDaemon, phone: Identity) -> None:
    other = await daemon.pair("other")
    async with link(phone) as linked:
        await linked.socket.send_str(encode_message(Unpair(other.id)))
        assert await linked.closed() == 1002
    assert len(daemon.devices.list()) == 2


async def test_a_daemon_that_cannot_store_that_a_device_unpaired_ends_the_link_and_can_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(_: object) -> None:
        raise StorageFullError("There is no room left.")

    async with device_daemon(tmp_path) as daemon:
        phone = await daemon.pair()
        async with link(phone) as linked:
            monkeypatch.setattr(daemon.database, "write", full)
            await linked.socket.send_str(encode_message(Unpair(phone.id)))
            assert await linked.closed() == 4001
        monkeypatch.undo()
    assert "has unpaired itself cannot be stored" in caplog.text


async def test_a_revoked_device_stays_revoked_after_a_restart_and_its_key_is_gone(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        phone = await daemon.pair()
        await daemon.pair("other")
        await daemon.devices.revoke(phone.id)
        rows = await daemon.database.read(
            lambda db: db.execute("select device_key from devices where id = ?", [phone.id]).fetchall()
        )
        assert rows == [(b"",)]
    async with device_daemon(tmp_path), call(phone.port) as caller:
        refused = await refused_link(caller, link_headers(phone, await challenge(caller), bytes(32)))
    assert isinstance(refused.error, NotPairedError)


async def test_a_new_link_takes_the_place_of_the_earlier_one(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as earlier, link(phone):
        assert await earlier.closed() == 4000
        assert daemon.devices.get(phone.id).is_linked


async def test_a_daemon_that_stops_says_goodbye(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as device:
        async with device_daemon(tmp_path) as daemon:
            linked = await device.enter_async_context(link(await daemon.pair()))
            closed = asyncio.create_task(linked.closed())
        assert await closed == 1001


async def test_a_device_that_does_not_introduce_itself_is_sent_away(phone: Identity) -> None:
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), nonce := secrets.token_bytes(32))
        socket = await caller.session.ws_connect(f"{caller.base}/v1/link", headers=headers, ssl=caller.context)
        await socket.receive_str()
        await socket.send_str('{"type":"command-result","command_id":"x"}')
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1002
        assert nonce


@pytest.mark.parametrize("frame", ["{", '{"type":"welcome"}', "x" * 300_000, b"\x01\x00", b"\x00" * 40])
async def test_a_frame_that_breaks_the_protocol_ends_the_link(phone: Identity, frame: str | bytes) -> None:
    async with link(phone) as linked:
        await (linked.socket.send_bytes(frame) if isinstance(frame, bytes) else linked.socket.send_str(frame))
        assert await linked.closed() in (1002, 1009)


# Records


async def begin(daemon: DeviceDaemon, linked: Link) -> str:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    await linked.report(run.id, TaskStarted(1))
    return run.id


def line(number: int) -> bytes:
    return encode_json(LogLine(number, "stdout", f"line {number}"))


async def logged(daemon: DeviceDaemon, run_id: str) -> list[int]:
    page = await daemon.runs.log(run_id, limit=10**6)
    return [item.time_ns for item in page.items]


async def test_records_are_acknowledged_once_they_are_stored(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        for number in range(1, 101):
            await linked.send(f"{run_id}.logs", line(number))
        await linked.acknowledged(f"{run_id}.logs", 100)
        assert await logged(daemon, run_id) == list(range(1, 101))


async def test_duplicates_are_dropped_and_acknowledged_again(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        stream = f"{run_id}.logs"
        for sequence in (1, 2, 2, 1, 3):
            await linked.send(stream, line(sequence), sequence=sequence)
        await linked.acknowledged(stream, 3)
        linked.positions.clear()
        await linked.send(stream, line(1), sequence=1)
        await linked.acknowledged(stream, 3)
        assert await logged(daemon, run_id) == [1, 2, 3]


async def test_a_gap_ends_the_link_and_what_came_before_is_kept(daemon: DeviceDaemon, phone: Identity) -> None:
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        stream = f"{run_id}.logs"
        await linked.send(stream, line(1), sequence=1)
        await linked.send(stream, line(3), sequence=3)
        assert await linked.closed() == 1002
    async with link(phone, streams=(stream,), runs=(run_id,)) as linked:
        assert linked.positions == {stream: 1}


async def test_a_run_whose_stored_records_were_lost_here_ends_and_the_link_goes_on(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        stream = f"{run_id}.logs"
        for sequence in (1, 2):
            await linked.send(stream, line(sequence), sequence=sequence)
        await linked.acknowledged(stream, 2)
    sql = "delete from records where stream = ? and sequence = 2"
    await daemon.database.write(lambda db: db.execute(sql, [stream]))  # as a power cut may do it

    async with link(phone, streams=(stream,), runs=(run_id,)) as linked:
        assert linked.positions == {stream: 1}
        await linked.send(stream, line(3), sequence=3)  # the second was acknowledged, so that it has gone
        await linked.receive(CancelTask)
        await linked.acknowledged(stream, 3)
        run = await daemon.runs.get(run_id)
        assert (run.state, run.error and "lost records" in run.error["message"]) == (RunState.FAILED, True)
        assert [text.text for text in (await daemon.runs.log(run_id)).items] == ["line 1"]


async def test_records_over_a_link_that_is_cut_again_and_again_are_stored_exactly_once_and_in_order(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    total, sent = 2000, 0
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
    stream = f"{run_id}.logs"
    for cut in range(1, 9):
        async with link(phone, streams=(stream,), runs=(run_id,)) as linked:
            # Each link sends again what was not acknowledged and more, and is cut in the middle of it, but for the last.
            stored = linked.positions[stream]
            assert stored <= sent
            last = min(250 * cut, total)
            for sequence in range(stored + 1, last + 1):
                await linked.send(stream, line(sequence), sequence=sequence)
            sent = last
            if last == total:
                await linked.acknowledged(stream, total)
            else:
                linked.cut()
    assert await logged(daemon, run_id) == list(range(1, total + 1))


async def test_a_report_in_several_records_counts_once_it_is_whole(daemon: DeviceDaemon, phone: Identity) -> None:
    values = {"text": "x" * 60_000, "more": "y" * 60_000}
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        last = await linked.report(run_id, ResultReported(values))
        assert last == 3
        await linked.acknowledged(f"{run_id}.events", last)
        assert (await daemon.runs.get(run_id)).result == values


async def test_a_report_that_was_cut_in_half_by_a_restart_of_the_daemon_is_put_together(tmp_path: Path) -> None:
    payload = encode_event(ResultReported({"text": "x" * 60_000, "more": "y" * 60_000}))
    parts = list(split(payload))
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as linked:
            run_id = await begin(daemon, linked)
            stream = f"{run_id}.events"
            await linked.socket.send_bytes(pack_record(Record(stream, 2, *parts[0])))
            await linked.acknowledged(stream, 2)
    async with device_daemon(tmp_path) as daemon, link(phone, streams=(stream,), runs=(run_id,)) as linked:
        assert linked.positions == {stream: 2}
        for sequence, part in enumerate(parts[1:], start=3):
            await linked.socket.send_bytes(pack_record(Record(stream, sequence, *part)))
        await linked.acknowledged(stream, 2 + len(parts) - 1)
        assert (await daemon.runs.get(run_id)).result["more"] == "y" * 60_000


async def test_records_of_a_run_of_another_device_are_dropped(daemon: DeviceDaemon, phone: Identity) -> None:
    other = await daemon.pair("other")
    async with link(phone) as linked:
        run_id = await begin(daemon, linked)
        async with link(other) as stranger:
            for stream in (f"{run_id}.events", "runknown.events"):
                await stranger.send(stream, b"{}", sequence=7)
                await stranger.acknowledged(stream, 7)
            await stranger.send(f"{run_id}.events", b'{"type":"metric","name":"forged","value":1}', sequence=8)
            await stranger.acknowledged(f"{run_id}.events", 8)
        last = await linked.report(run_id, MetricReported("honest", 1.0))
        await linked.acknowledged(f"{run_id}.events", last)
        assert [metric.tag for metric in await daemon.runs.metrics(run_id)] == ["honest"]


async def test_a_device_that_reads_nothing_loses_its_link(
    daemon: DeviceDaemon, phone: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with link(phone) as linked:
        monkeypatch.setattr(live_link, "MAX_WAITING_MESSAGES", 0)
        await daemon.runs.start(daemon.workspace, "task.py")
        assert await linked.closed() == 1008


async def test_a_device_that_answers_no_ping_any_more_loses_its_link(tmp_path: Path) -> None:
    async with device_daemon(tmp_path, heartbeat_seconds=0.6) as daemon:
        phone = await daemon.pair()
        async with link(phone, autoping=False) as linked:
            for _ in range(2):
                frame = await linked.socket.receive(30)
                assert frame.type is aiohttp.WSMsgType.PING
                await linked.socket.pong(frame.data)
            assert await linked.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
