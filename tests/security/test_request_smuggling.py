"""Requests whose end two readers could see at different places: both listeners refuse them and hang up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import device_daemon
from security.raw_http import answer_of, statuses
from security.small_api import small_api

from edgeloop_daemon.http.api import MAX_BODY_BYTES

BODY = b'{"dish":"soup"}'
CHUNKED = b"f\r\n" + BODY + b"\r\n0\r\n\r\n"

AMBIGUOUS = {
    "two lengths": (b"Content-Length: 15\r\nContent-Length: 3", BODY),
    "one length twice": (b"Content-Length: 15\r\nContent-Length: 15", BODY),
    "a list of lengths": (b"Content-Length: 15, 15", BODY),
    "a length with a sign": (b"Content-Length: +15", BODY),
    "a length with an underscore": (b"Content-Length: 1_5", BODY),
    "a length in hex": (b"Content-Length: 0xf", BODY),
    "a negative length": (b"Content-Length: -1", BODY),
    "a length beyond 64 bits": (b"Content-Length: 99999999999999999999999", BODY),
    "a length and chunks": (b"Content-Length: 3\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunks and a length": (b"Transfer-Encoding: chunked\r\nContent-Length: 3", CHUNKED),
    "chunks twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunks that are not the last encoding": (b"Transfer-Encoding: chunked, identity", CHUNKED),
    "an encoding like chunks": (b"Transfer-Encoding: xchunked", CHUNKED),
    "an encoding behind a control character": (b"Transfer-Encoding: \x0bchunked", CHUNKED),
    "a folded header": (b"X-A: b\r\n Content-Length: 3\r\nContent-Length: 15", BODY),
    "a space before the colon": (b"Content-Length : 15", BODY),
    "a lone carriage return": (b"X-A: b\rX-B: c\r\nContent-Length: 15", BODY),
    "a lone line feed": (b"X-A: b\nContent-Length: 15", BODY),
    "a NUL": (b"X-A: b\0c\r\nContent-Length: 15", BODY),
    "a negative chunk": (b"Transfer-Encoding: chunked", b"-f\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk with a prefix": (b"Transfer-Encoding: chunked", b"0xf\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk with a space": (b"Transfer-Encoding: chunked", b" f\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk with a lone line feed": (b"Transfer-Encoding: chunked", b"f\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": (b"Transfer-Encoding: chunked", b"fffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk longer than its size": (b"Transfer-Encoding: chunked", b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
}
OVERSIZED = {
    "a long header": b"X: " + b"a" * 9000,
    "many headers": b"\r\n".join([b"X: y"] * 200),
    "many long headers": b"\r\n".join([b"X: " + b"a" * 8000] * 200),
}


@pytest_asyncio.fixture
async def device_port(tmp_path: Path) -> AsyncIterator[int]:
    async with device_daemon(tmp_path) as daemon:
        await daemon.pairing.open()  # so that the port answers a pairing's start
        yield daemon.port


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_the_local_api_refuses_an_ambiguous_end_and_reads_nothing_behind_it(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers, body = AMBIGUOUS[case]
    async with small_api() as api:
        request = b"POST /api/v1/orders HTTP/1.1\r\n" + api.head + headers + b"\r\n\r\n" + body
        smuggled = b"GET /api/v1/orders HTTP/1.1\r\n" + api.head + b"\r\n"
        answer = await answer_of(api.port, request + smuggled, secure=False)
        assert statuses(answer) == [400]
        assert api.token not in caplog.text
        assert "Traceback" not in caplog.text


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_the_device_port_refuses_an_ambiguous_end_and_reads_nothing_behind_it(
    device_port: int, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers, body = AMBIGUOUS[case]
    request = b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + body
    answer = await answer_of(device_port, request + b"GET /v1/link HTTP/1.1\r\nHost: x\r\n\r\n", secure=True)
    assert statuses(answer) == [400]
    assert "Traceback" not in caplog.text  # a stranger does not fill the log


async def test_a_whole_request_is_answered_and_so_is_the_one_behind_it(device_port: int) -> None:
    async with small_api() as api:
        request = b"POST /api/v1/orders HTTP/1.1\r\n" + api.head + b"Content-Length: 15\r\n\r\n" + BODY
        last = b"GET /api/v1/orders HTTP/1.1\r\nConnection: close\r\n" + api.head + b"\r\n"
        assert statuses(await answer_of(api.port, request + last, secure=False)) == [202, 200]
    request = b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n" + b'{"versions":[1]}'
    last = b"GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert statuses(await answer_of(device_port, request + last, secure=True)) == [200, 401]


@pytest.mark.parametrize("encoding", [b"gzip, chunked", b"deflate, chunked"])
async def test_a_body_that_is_encoded_for_its_way_is_refused(device_port: int, encoding: bytes) -> None:
    encoded = b"Connection: close\r\nTransfer-Encoding: " + encoding + b"\r\n\r\n" + CHUNKED
    async with small_api() as api:
        request = b"POST /api/v1/orders HTTP/1.1\r\n" + api.head + encoded
        assert statuses(await answer_of(api.port, request, secure=False)) == [422]
    request = b"POST /v1/pair/start HTTP/1.1\r\nHost: x\r\n" + encoded
    assert statuses(await answer_of(device_port, request, secure=True)) == [422]


@pytest.mark.parametrize("case", OVERSIZED)
async def test_a_head_without_measure_is_refused(device_port: int, case: str) -> None:
    async with small_api() as api:
        request = b"GET /api/v1/orders HTTP/1.1\r\n" + api.head + OVERSIZED[case] + b"\r\n\r\n"
        assert statuses(await answer_of(api.port, request, secure=False)) in ([400], [])
    request = b"GET /v1/link HTTP/1.1\r\nHost: x\r\n" + OVERSIZED[case] + b"\r\n\r\n"
    assert statuses(await answer_of(device_port, request, secure=True)) in ([400], [])


async def test_a_large_body_of_a_stranger_is_refused_before_it_is_read() -> None:
    async with small_api() as api:
        host = f"Host: 127.0.0.1:{api.port}\r\n".encode()
        length = f"Content-Length: {100 * MAX_BODY_BYTES}\r\n\r\n".encode()
        head = b"POST /api/v1/orders HTTP/1.1\r\n" + host + length
        assert statuses(await answer_of(api.port, head + b"a" * 1000, secure=False)) == [401]


async def test_a_compressed_body_is_never_unpacked() -> None:
    bomb = bytes.fromhex("1f8b0800") + b"\0" * 100  # whose header alone would begin a decompressor
    async with small_api() as api:
        head = b"POST /api/v1/orders HTTP/1.1\r\n" + api.head + b"Connection: close\r\n"
        encoded = b"Content-Encoding: gzip\r\nContent-Length: 104\r\n\r\n"
        assert statuses(await answer_of(api.port, head + encoded + bomb, secure=False)) == [422]
