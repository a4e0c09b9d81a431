"""Strangers who connect and then dawdle, or come in crowds: they lose their place, and who is let in notices nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import call, challenge, link
from security.raw_http import SECONDS, answer_of, connect, rest_of, statuses
from security.small_api import SmallApi, small_api

from edgeloop_daemon.devices import handshakes
from edgeloop_daemon.http import strangers

GET = b"GET /api/v1/orders HTTP/1.1\r\n"


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        await running.pairing.open()
        yield running


@pytest_asyncio.fixture
async def api() -> AsyncIterator[SmallApi]:
    async with small_api() as running:
        yield running


async def test_a_handshake_that_never_ends_is_cut_off(daemon: DeviceDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 0.05)
    for first_bytes in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await connect(daemon.port, secure=False)
        writer.write(first_bytes)
        assert b"HTTP" not in await rest_of(reader, writer)


async def test_stalled_handshakes_of_one_address_make_room_for_the_next(
    daemon: DeviceDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "MAX_HANDSHAKES_PER_ADDRESS", 3)
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 60.0)  # so that time alone does not end them
    stalled = [await connect(daemon.port, secure=False) for _ in range(3)]
    async with call(daemon.port) as honest:
        await challenge(honest)
        assert await rest_of(*stalled[0]) == b""  # the oldest gave way
        for reader, writer in stalled[1:]:
            assert not reader.at_eof()
            writer.close()


async def test_stalled_handshakes_of_many_addresses_make_room_for_the_next(
    daemon: DeviceDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "MAX_HANDSHAKES", 2)
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 60.0)  # so that time alone does not end them
    stalled = [
        await asyncio.open_connection("127.0.0.1", daemon.port, local_addr=(f"127.0.0.{last}", 0)) for last in (2, 3)
    ]
    async with call(daemon.port) as honest:
        await challenge(honest)
    assert await rest_of(*stalled[0]) == b""
    stalled[1][1].close()


async def test_a_handshake_in_progress_ends_when_the_port_closes(daemon: DeviceDaemon) -> None:
    reader, writer = await connect(daemon.port, secure=False)
    async with call(daemon.port) as caller:
        await challenge(caller)  # so that the port has seen the first one
    await daemon.pairing.close()
    assert await rest_of(reader, writer) == b""


async def test_a_crowd_of_stalled_handshakes_does_not_touch_a_live_link(
    daemon: DeviceDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "MAX_HANDSHAKES", 4)
    phone = await daemon.pair()
    async with link(phone) as live:
        crowd = [await connect(phone.port, secure=False) for _ in range(20)]
        await live.socket.ping()
        assert daemon.devices.get(phone.id).is_linked
        for _, writer in crowd:
            writer.close()


@pytest.mark.parametrize(
    "first_bytes",
    [
        b"",
        b"GET /api/v1/or",
        GET + b"X-A: b\r\n",
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
async def test_a_stranger_who_dawdles_at_the_local_api_is_cut_off(
    api: SmallApi, first_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "STRANGER_SECONDS", 0.05)
    reader, writer = await connect(api.port, secure=False)
    writer.write(first_bytes)
    assert statuses(await rest_of(reader, writer)) in ([], [421])


async def test_who_has_shown_a_token_may_take_its_time(api: SmallApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "STRANGER_SECONDS", 0.1)
    reader, writer = await connect(api.port, secure=False)
    writer.write(GET + api.head + b"\r\n")
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"}")
    assert await rest_of(*await connect(api.port, secure=False)) == b""  # a stranger's time has passed
    writer.write(GET + b"Connection: close\r\n" + api.head + b"\r\n")
    assert statuses(await rest_of(reader, writer)) == [200]


async def test_a_wrong_token_is_no_token(api: SmallApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "STRANGER_SECONDS", 0.1)
    head = f"Host: 127.0.0.1:{api.port}\r\nAuthorization: Bearer {'a' * 43}\r\n\r\n".encode()
    assert statuses(await answer_of(api.port, GET + head, secure=False)) == [401]  # and then it was cut off


async def test_a_crowd_at_the_local_api_keeps_nobody_with_a_token_out(
    api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_STRANGERS", 3)
    crowd = [await connect(api.port, secure=False) for _ in range(10)]
    request = GET + b"Connection: close\r\n" + api.head + b"\r\n"
    assert statuses(await answer_of(api.port, request, secure=False)) == [200]
    assert await rest_of(*crowd[0]) == b""
    for _, writer in crowd[1:]:
        writer.close()
