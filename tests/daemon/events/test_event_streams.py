"""The log over HTTP: pages, server-sent events and the WebSocket, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode
from daemon.events.conftest import SECONDS, Api, record

from edgeloop_daemon.events.kinds import DevicePaired, JobQueued, JobStarted
from edgeloop_daemon.http.streams import CLOSE_REVOKED, MAX_STREAMS_PER_TOKEN

JOB = JobQueued("j1", "convert", "tool")


async def test_events_are_paged(api: Api) -> None:
    await record(api.daemon.database, *(JobStarted(f"j{number}") for number in range(3)), workspace="w1")
    status, first = await api.get("/events", limit=2)
    _, second = await api.get("/events", since=first["next"])
    assert status == 200
    assert [event["data"] for event in first["items"]] == [{"job": "j0"}, {"job": "j1"}]
    assert [event["data"] for event in second["items"]] == [{"job": "j2"}]
    assert second["next"] == second["latest"]


async def test_a_page_waits_for_the_first_event_that_is_wanted(api: Api) -> None:
    asking = asyncio.create_task(api.get("/events", since=0, kinds="device", wait=SECONDS))
    await record(api.daemon.database, JOB, DevicePaired("d1", "phone"))
    _, page = await asking
    assert [event["kind"] for event in page["items"]] == ["device.paired"]


@pytest.mark.parametrize(
    "query", [{"kinds": "job.exploded"}, {"kinds": "JOB"}, {"since": -1}, {"since": "x"}, {"limit": 0}]
)
async def test_a_wrong_choice_is_refused_with_its_field(api: Api, query: dict[str, Any]) -> None:
    for path in ("/events", "/events/stream"):
        status, problem = await api.get(path, **query)
        assert (status, problem["code"]) == (422, "invalid-input")


Stream = aiohttp.StreamReader


@asynccontextmanager
async def streamed(api: Api, path: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with api.session.get(api.base + path, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert await _next(response) == {"retry": "1000"}
        yield response


async def _next(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the fields of the stream's next block that is no comment."""
    async with asyncio.timeout(SECONDS):
        block = (await response.content.readuntil(b"\n\n")).decode()
    fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
    return fields or await _next(response)


async def test_events_are_streamed_with_their_cursors_and_a_client_goes_on_where_it_was(api: Api) -> None:
    async with streamed(api, "/events/stream") as response:
        start = await _next(response)
        await record(api.daemon.database, JOB, workspace="w1")
        event = await _next(response)
        data = json.loads(event["data"])
        assert (event["event"], event["id"]) == ("job.queued", str(data["cursor"]))
        assert (data["workspace"], data["data"]) == ("w1", {"job": "j1", "name": "convert", "work": "tool"})
        assert start == {"id": str(data["cursor"] - 1)}
    await record(api.daemon.database, JobStarted("j1"), JobStarted("j2"))
    async with streamed(api, "/events/stream?since=0", **{"Last-Event-ID": event["id"]}) as response:
        assert [(await _next(response))["event"] for _ in range(2)] == ["job.started", "job.started"]


async def test_a_stream_from_an_unknown_cursor_begins_with_a_reset(api: Api) -> None:
    async with streamed(api, "/events/stream", **{"Last-Event-ID": "999"}) as response:
        reset = await _next(response)
    assert (reset["event"], json.loads(reset["data"])["since"]) == ("reset", 999)


async def test_a_last_event_id_that_is_no_cursor_is_refused(api: Api) -> None:
    async with api.session.get(f"{api.base}/events/stream", headers={"Last-Event-ID": "x" * 5000}) as response:
        assert response.status == 422


async def test_one_socket_carries_several_subscriptions(api: Api) -> None:
    socket = await api.socket()
    assert socket.socket.protocol == "edgeloop.v1"
    for name, kinds in (("jobs", ["job"]), ("devices", ["device"])):
        begun = await socket.ask("subscribe", name, kinds=kinds)
        assert (begun["type"], begun["id"], begun["page"]["items"]) == ("events", name, [])
    await record(api.daemon.database, JOB, DevicePaired("d1", "phone"))
    heard = [await socket.hear(), await socket.hear()]
    assert {(one["id"], one["page"]["items"][0]["kind"]) for one in heard} == {
        ("jobs", "job.queued"),
        ("devices", "device.paired"),
    }
    assert (await socket.ask("unsubscribe", "jobs")) == {"type": "unsubscribed", "id": "jobs"}
    await record(api.daemon.database, JobStarted("j1"), DevicePaired("d2", "tablet"))
    assert (await socket.hear())["page"]["items"][0]["data"]["name"] == "tablet"


async def test_a_subscription_goes_on_behind_its_cursor(api: Api) -> None:
    await record(api.daemon.database, JobStarted("j1"), JobStarted("j2"))
    socket = await api.socket()
    page = (await socket.ask("subscribe", "a", since=1))["page"]
    assert [event["cursor"] for event in page["items"]] == [2]
    assert (await socket.ask("subscribe", "b", since=77))["page"]["reset"] == {"since": 77, "resumes": 2}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"topic": "job-log", "work": "j1"}, "not-found"),
        ({"topic": "run-log", "work": "r1"}, "not-found"),
        ({"topic": "job-log"}, "invalid-input"),
        ({"topic": "weather"}, "invalid-input"),
        ({"kinds": ["weather"]}, "invalid-input"),
        ({"since": "1"}, "invalid-input"),
    ],
)
async def test_what_cannot_be_followed_is_an_error_of_that_subscription(
    api: Api, message: dict[str, Any], code: str
) -> None:
    socket = await api.socket()
    answer = await socket.ask("subscribe", "a", **message)
    assert (answer["type"], answer["error"]["code"]) == ("error", code)
    assert (await socket.ask("subscribe", "b"))["type"] == "events"  # the socket lives on


async def test_a_subscription_has_one_name_of_its_own(api: Api) -> None:
    socket = await api.socket()
    await socket.ask("subscribe", "a")
    assert (await socket.ask("subscribe", "a"))["error"]["code"] == "conflict"
    assert (await socket.ask("unsubscribe", "b"))["error"]["code"] == "invalid-input"
    for number in range(63):
        assert (await socket.ask("subscribe", f"s{number}"))["type"] == "events"
    assert (await socket.ask("subscribe", "one more"))["error"]["code"] == "conflict"


async def test_what_is_no_message_is_answered_and_what_is_no_text_ends_the_socket(api: Api) -> None:
    socket = await api.socket()
    await socket.socket.send_str("[")
    assert (await socket.hear())["error"]["code"] == "invalid-input"
    await socket.socket.send_bytes(b"\x00")
    assert await socket.closed() == WSCloseCode.UNSUPPORTED_DATA
    socket = await api.socket()
    await socket.say("subscribe", "a" * 100_000)
    assert await socket.closed() == WSCloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize(
    ("headers", "protocols", "status"),
    [
        ({}, (), 401),
        ({}, ("edgeloop.v1", "bearer.wrong"), 401),
        ({}, ("bearer.{token}",), 401),
        ({"Authorization": "Bearer wrong"}, ("edgeloop.v1", "bearer.{token}"), 401),
        ({"Origin": "http://evil.example"}, ("edgeloop.v1", "bearer.{token}"), 403),
        ({"Sec-Fetch-Site": "cross-site"}, ("edgeloop.v1", "bearer.{token}"), 403),
        ({"Host": "evil.example"}, ("edgeloop.v1", "bearer.{token}"), 421),
    ],
)
async def test_a_socket_of_somebody_else_is_refused_before_it_is_one(
    api: Api, headers: dict[str, str], protocols: tuple[str, ...], status: int
) -> None:
    offered = [protocol.format(token=api.token) for protocol in protocols]
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await stranger.ws_connect(f"{api.base}/ws", headers=headers, protocols=offered)
    assert caught.value.status == status


async def test_a_page_of_the_daemon_itself_may_open_a_socket(api: Api) -> None:
    origin = f"http://127.0.0.1:{api.port}"
    socket = await api.session.ws_connect(f"{api.base}/ws", headers={"Origin": origin})
    await socket.send_json({"type": "subscribe", "id": "a"})
    assert (await socket.receive_json(timeout=SECONDS))["type"] == "events"


async def test_a_plain_request_for_the_socket_is_told_what_it_is(api: Api) -> None:
    status, problem = await api.get("/ws")
    assert (status, problem["code"]) == (422, "invalid-input")
    assert "WebSocket" in problem["detail"]


async def test_streams_of_a_revoked_token_end(api: Api) -> None:
    socket = await api.socket()
    await socket.ask("subscribe", "a")
    async with streamed(api, "/events/stream") as response:
        api.streams.end_those_of("somebody else")
        api.streams.end_those_of("test")
        await asyncio.wait_for(response.content.read(), SECONDS)
    assert await socket.closed() == CLOSE_REVOKED


async def test_streams_end_with_the_daemon(api: Api) -> None:
    socket = await api.socket()
    await socket.ask("subscribe", "a")
    async with streamed(api, "/events/stream") as response:
        await api.streams.close()
        await asyncio.wait_for(response.content.read(), SECONDS)
    assert await socket.closed() == WSCloseCode.GOING_AWAY
    assert (await api.get("/events/stream"))[0] == 503


async def test_a_client_that_goes_away_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with streamed(api, "/events/stream"):
        assert len(api.streams) == 1
    async with asyncio.timeout(SECONDS):
        while len(api.streams):  # it is noticed when there is something to send
            await record(api.daemon.database, JOB)
            await api.get("/events", since=0)
    assert [entry.getMessage() for entry in caplog.records if entry.levelname == "ERROR"] == []


async def test_a_token_may_have_so_many_streams_open_and_no_more(api: Api) -> None:
    sockets = [await api.socket() for _ in range(MAX_STREAMS_PER_TOKEN)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.session.ws_connect(f"{api.base}/ws")
    assert caught.value.status == 429
    assert (await api.get("/events/stream"))[0] == 429
    await sockets[0].socket.close()
    await sockets[1].ask("subscribe", "a")
    assert (await (await api.socket()).ask("subscribe", "a"))["type"] == "events"
