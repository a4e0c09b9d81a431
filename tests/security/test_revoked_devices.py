"""A device that is unpaired in the middle of its work: everything ends at once, and nothing can be read any more."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, RefusedError, call, challenge, link, link_headers, tls
from security.raw_http import SECONDS, connect, rest_of, statuses

from edgeloop_daemon.devices import links
from edgeloop_daemon.devices.link import CLOSE_REVOKED
from edgeloop_shared.errors import NotPairedError, UnauthorizedError
from edgeloop_shared.run_events import FileAnnounced

MODEL = secrets.token_bytes(32 * 1024**2)  # far more than sockets buffer


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as running:
        (running.workspace.root / "task.py").write_text("print(1)")
        (running.workspace.root / "model.mnn").write_bytes(MODEL)
        await running.pair("other")  # keeps the port open
        yield running


@pytest_asyncio.fixture
async def phone(daemon: DeviceDaemon) -> Identity:
    return await daemon.pair()


@pytest_asyncio.fixture
async def linked(daemon: DeviceDaemon, phone: Identity) -> AsyncIterator[Link]:
    async with link(phone) as live:
        await daemon.runs.start(daemon.workspace, "task.py", ("model.mnn",), device=phone.id)
        await live.accept()
        yield live


def blob_request(linked: Link, method: str, sha256: str, *headers: str) -> bytes:
    lines = (f"{method} /v1/blob/{sha256} HTTP/1.1", "Host: x", f"Authorization: Bearer {linked.bearer}", *headers)
    return "\r\n".join((*lines, "", "")).encode()


async def begin_download(linked: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(linked.identity.port, secure=True)
    writer.write(blob_request(linked, "GET", sha(MODEL)))
    async with asyncio.timeout(SECONDS):
        assert statuses(await reader.readuntil(b"\r\n\r\n")) == [200]
    return reader, writer


async def test_a_download_in_flight_ends_when_its_device_is_revoked(daemon: DeviceDaemon, linked: Link) -> None:
    reader, writer = await begin_download(linked)
    await daemon.devices.revoke(linked.identity.id)
    assert len(await rest_of(reader, writer)) < len(MODEL)
    with pytest.raises(RefusedError) as refused:
        await linked.ask("GET", sha(MODEL))
    assert isinstance(refused.value.error, UnauthorizedError)


async def test_an_upload_in_flight_ends_when_its_device_is_revoked_and_leaves_nothing(
    daemon: DeviceDaemon, linked: Link, tmp_path: Path
) -> None:
    run = daemon.runs
    (begun,) = await run.list(None, linked.identity.id, 10)
    content = secrets.token_bytes(8 * 1024**2)
    announced = FileAnnounced("out.bin", sha(content), len(content))
    await linked.acknowledged(f"{begun.id}.events", await linked.report(begun.id, announced))
    reader, writer = await connect(linked.identity.port, secure=True)
    span = f"Content-Range: bytes 0-{len(content) - 1}/{len(content)}"
    writer.write(blob_request(linked, "PUT", sha(content), span, f"Content-Length: {len(content)}"))
    writer.write(content[: len(content) // 2])
    await writer.drain()
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(lambda: any(daemon.blobs.leftovers())):  # noqa: ASYNC110 - nothing outside hears of it
            await asyncio.sleep(0.01)
    await daemon.devices.revoke(linked.identity.id)
    assert await rest_of(reader, writer) == b""
    assert not await asyncio.to_thread(daemon.blobs.has, sha(content))
    assert (await run.get(begun.id)).state == "failed"


async def test_a_revoked_device_cannot_go_on_over_a_connection_that_it_kept(daemon: DeviceDaemon, linked: Link) -> None:
    reader, writer = await connect(linked.identity.port, secure=True)
    writer.write(blob_request(linked, "HEAD", sha(b"nothing")))
    async with asyncio.timeout(SECONDS):
        assert statuses(await reader.readuntil(b"\r\n\r\n")) == [404]  # the bearer is good, the blob is unknown
    await daemon.devices.revoke(linked.identity.id)
    assert await linked.closed() == CLOSE_REVOKED
    assert await rest_of(reader, writer) == b""


async def test_transfers_end_with_the_link_that_they_belong_to(daemon: DeviceDaemon, linked: Link) -> None:
    reader, writer = await begin_download(linked)
    async with link(linked.identity):  # takes the place of the first one
        assert len(await rest_of(reader, writer)) < len(MODEL)


async def test_a_device_that_opens_too_many_transfers_is_slowed_down(
    linked: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_TRANSFER_CONNECTIONS", 2)
    open_ones = [await begin_download(linked) for _ in range(2)]
    with pytest.raises(RefusedError) as refused:
        await linked.ask("GET", sha(MODEL))
    assert refused.value.status == 429
    for _, writer in open_ones:
        writer.transport.abort()


async def test_a_tls_session_of_a_revoked_device_cannot_be_resumed(daemon: DeviceDaemon, phone: Identity) -> None:
    context = tls()

    def connect_again(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, bytes]:

        with (
            socket.create_connection(("127.0.0.1", phone.port), timeout=SECONDS) as plain,
            context.wrap_socket(plain, session=session) as secured,
        ):
            secured.sendall(b"GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = secured.recv(65536)
            return secured.session, bool(secured.session_reused), answer

    session, was_reused, answer = await asyncio.to_thread(connect_again, None)
    assert (was_reused, statuses(answer)) == (False, [401])
    await daemon.devices.revoke(phone.id)
    _, was_reused, answer = await asyncio.to_thread(connect_again, session)
    assert (was_reused, statuses(answer)) == (False, [401])
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), bytes(32))
        with pytest.raises(RefusedError) as refused:
            await caller.ask("GET", "/v1/link", headers=headers)
    assert isinstance(refused.value.error, NotPairedError)
