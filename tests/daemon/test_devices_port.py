"""What strangers meet at the device port: nothing but three families of paths, and narrow limits."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, RefusedError, call, challenge, link, tls

from edgeloop_daemon.devices import connections
from edgeloop_shared.errors import EdgeloopError, ForbiddenError, InvalidInputError, NotFoundError, PortInUseError


async def refusal(port: int, method: str, path: str, **options: object) -> tuple[int, type[EdgeloopError]]:
    async with call(port) as caller:
        with pytest.raises(RefusedError) as refused:
            await caller.ask(method, path, **options)
    return refused.value.status, type(refused.value.error)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v1/status"),
        ("GET", "/v1/pair/start"),
        ("POST", "/v1/link"),
        ("DELETE", "/v1/blob/" + "0" * 64),
        ("GET", "/v1/blob/"),
        ("GET", "/v1/blob/../../etc/passwd"),
        ("GET", "/v1/blob/" + "0" * 63),
        ("GET", "/v1/blob/%2e%2e/%2e%2e/edgeloop.db"),
    ],
)
async def test_there_is_nothing_but_pairing_links_and_blobs(phone: Identity, method: str, path: str) -> None:
    assert await refusal(phone.port, method, path) == (404, NotFoundError)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://127.0.0.1"])
async def test_web_pages_are_refused(phone: Identity, origin: str) -> None:
    for method, path in (("GET", "/v1/link"), ("POST", "/v1/pair/start"), ("GET", "/v1/blob/" + "0" * 64)):
        assert await refusal(phone.port, method, path, headers={"Origin": origin}) == (403, ForbiddenError)


async def test_compressed_bodies_are_refused(phone: Identity) -> None:
    headers = {"Content-Encoding": "gzip"}
    assert await refusal(phone.port, "POST", "/v1/pair/start", data=b"x", headers=headers) == (422, InvalidInputError)


async def raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls())


async def is_cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read until the end; return whether the connection was ended without any answer."""
    try:
        async with asyncio.timeout(5):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    writer.close()
    return answer == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/link HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET /v1/link HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000,
        b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + b"a" * 5000,
        b"PUT /v1/blob/" + b"a" * 5000,
        b"\x00" * 5000,
    ],
)
async def test_a_stranger_who_sends_more_than_4_kib_is_cut_off(phone: Identity, request_bytes: bytes) -> None:
    reader, writer = await raw(phone.port)
    writer.write(request_bytes)
    assert await is_cut_off(reader, writer)


async def test_a_large_upload_without_a_bearer_is_refused_before_it_is_read(phone: Identity) -> None:
    path = "/v1/blob/" + "0" * 64
    status, _ = await refusal(phone.port, "PUT", path, data=b"a" * 100_000)
    assert status == 401


@pytest.mark.parametrize(
    "first_bytes", [b"", b"GET /v1/li", b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_slow_stranger_is_cut_off(phone: Identity, first_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNAUTHENTICATED_SECONDS", 0.05)
    reader, writer = await raw(phone.port)
    writer.write(first_bytes)
    assert await is_cut_off(reader, writer)


async def test_a_stranger_may_send_only_a_few_requests(phone: Identity) -> None:
    async with call(phone.port) as caller:
        for _ in range(connections.MAX_UNAUTHENTICATED_REQUESTS - 1):
            await challenge(caller)
        with pytest.raises(RefusedError) as refused:
            await caller.ask("GET", "/v1/link")
    assert refused.value.headers["Connection"] == "close"


async def test_too_many_strangers_of_one_address_are_cut_off_and_paired_devices_go_on(
    daemon: DeviceDaemon, phone: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNAUTHENTICATED_PER_ADDRESS", 2)
    async with link(phone) as linked:
        strangers = [await raw(phone.port) for _ in range(2)]
        assert await is_cut_off(*(await raw(phone.port)))
        await linked.socket.ping()
        assert daemon.devices.get(phone.id).is_linked
        for _, writer in strangers:
            writer.close()


async def test_older_tls_is_refused(phone: Identity) -> None:
    context = tls()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection("127.0.0.1", phone.port, ssl=context)


async def test_tls_sessions_cannot_be_resumed(phone: Identity) -> None:
    def session_ticket() -> bool:
        with socket.create_connection(("127.0.0.1", phone.port)) as plain, tls().wrap_socket(plain) as secured:
            secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            secured.recv(4096)
            session = secured.session
            return session is not None and session.has_ticket

    assert not await asyncio.to_thread(session_ticket)


async def test_an_explicit_port_that_another_program_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError) as raised:
            async with device_daemon(tmp_path, port=port):
                pass
    assert raised.value.details == {"port": port}
    assert "--device-port" in raised.value.hint


async def test_an_explicit_port_is_taken_and_remembered(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    async with device_daemon(tmp_path, port=port) as daemon:
        assert (await daemon.pair()).port == port
    async with device_daemon(tmp_path) as daemon:
        assert daemon.listener.port == port


async def test_a_remembered_port_that_another_program_has_now_gives_way_to_a_free_one(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        phone = await daemon.pair()
    with socket.create_server(("127.0.0.1", phone.port)):
        async with device_daemon(tmp_path) as daemon:
            assert daemon.listener.port not in (None, phone.port)
