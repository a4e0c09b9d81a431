"""Logs of jobs and runs, followed over server-sent events and over the WebSocket, and readers that fall asleep."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from daemon.device_peer import link
from daemon.events.conftest import SECONDS, Api, record
from daemon.jobs.conftest import TESTS
from daemon.jobs.job_handlers import REFERENCE, Work

from edgeloop_daemon.events.kinds import JobFailed
from edgeloop_daemon.http import server_sent_events, websocket
from edgeloop_daemon.http.streams import CLOSE_SLOW
from edgeloop_shared.codec import encode_json
from edgeloop_shared.models import RunState
from edgeloop_shared.run_events import LogLine, TaskFinished

LONG = JobFailed("j1", "error", "x" * 20_000)


async def blocks(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a stream, until it ends."""
    text = ""
    async with asyncio.timeout(SECONDS):
        async for chunk in response.content.iter_any():
            text += chunk.decode()
            while "\n\n" in text:
                block, text = text.split("\n\n", 1)
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "data" in fields:
                    yield {**fields, "data": json.loads(fields["data"])}


@pytest.fixture
async def job(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A job that has written `before` and stands at a gate."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    workspace = api.daemon.workspace
    started = await api.jobs.start(
        workspace=workspace.id,
        workspace_path=workspace.root,
        kind="tool",
        name="tool",
        handler=f"{REFERENCE}:wait_at_gate",
        parameters=Work(gate=str(gate)),
    )
    return started.id, gate


async def test_a_jobs_log_is_followed_to_its_end_and_on_from_where_a_reader_was(
    api: Api, job: tuple[str, Path]
) -> None:
    name, gate = job
    path = f"{api.base}/jobs/{name}/log/stream"
    async with api.session.get(path) as response:
        stream = blocks(response)
        first = await anext(stream)
        await asyncio.to_thread(gate.write_text, "go")
        rest = [block async for block in stream]
    assert (first["event"], first["data"]["text"]) == ("log", "before\n")
    assert "".join(block["data"]["text"] for block in rest[:-1]).endswith("after\n")
    assert rest[-1]["event"] == "end"
    async with api.session.get(path, headers={"Last-Event-ID": first["id"]}) as response:
        again = [block async for block in blocks(response)]
    assert "".join(block["data"].get("text", "") for block in again) == "".join(
        block["data"].get("text", "") for block in rest
    )


async def test_a_jobs_log_is_followed_over_the_socket(api: Api, job: tuple[str, Path]) -> None:
    name, gate = job
    socket = await api.socket()
    message = await socket.ask("subscribe", "log", topic="job-log", work=name)
    text = message["page"]["text"]
    while "before" not in text:
        text += (await socket.hear())["page"]["text"]
    await asyncio.to_thread(gate.write_text, "go")
    while (message := await socket.hear())["type"] == "log":
        text += message["page"]["text"]
    assert message == {"type": "ended", "id": "log"}
    assert text.endswith("after\n")
    assert (await socket.ask("unsubscribe", "log"))["error"]["code"] == "invalid-input"


async def test_a_runs_output_is_followed_over_both(api: Api) -> None:
    (api.daemon.workspace.root / "task.py").touch()
    async with link(await api.daemon.pair()) as linked:
        run = await api.daemon.runs.start(api.daemon.workspace, "task.py")
        await linked.accept()
        await linked.send(f"{run.id}.logs", encode_json(LogLine(1, "stdout", "one")))
        socket = await api.socket()
        message = await socket.ask("subscribe", "log", topic="run-log", work=run.id)
        lines = message["page"]["items"]
        await linked.send(f"{run.id}.logs", encode_json(LogLine(2, "stderr", "two")))
        await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 2, 0))
        while (message := await socket.hear())["type"] == "log":
            lines += message["page"]["items"]
    assert [line["text"] for line in lines] == ["one", "two"]
    async with api.session.get(f"{api.base}/runs/{run.id}/log/stream") as response:
        followed = [block async for block in blocks(response)]
    assert [line["text"] for block in followed[:-1] for line in block["data"]["items"]] == ["one", "two"]
    assert followed[-1]["event"] == "end"


@pytest.mark.parametrize("path", ["/jobs/jx/log/stream", "/runs/rx/log/stream"])
async def test_a_log_that_is_none_is_an_ordinary_error(api: Api, path: str) -> None:
    status, problem = await api.get(path)
    assert (status, problem["code"]) == (404, "not-found")


async def test_a_reader_that_falls_asleep_is_dropped_and_goes_on_where_it_was(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STALL_SECONDS", 0.2)
    socket = await api.socket()
    first = await socket.ask("subscribe", "a")
    while len(api.streams):  # nobody reads
        await record(api.daemon.database, *(LONG,) * 20)
    assert await socket.closed() in (CLOSE_SLOW, 1006)
    again = await api.socket()
    page = (await again.ask("subscribe", "a", since=first["page"]["next"]))["page"]
    assert page["items"][0]["cursor"] == first["page"]["next"] + 1
    assert page["reset"] is None


async def test_a_sleeping_reader_of_a_stream_is_dropped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_sent_events, "STALL_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
    writer.write(
        f"GET /api/v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n"
        f"Authorization: Bearer {api.token}\r\n\r\n".encode()
    )
    assert b" 200 " in await reader.readline()
    while len(api.streams):
        await record(api.daemon.database, *(LONG,) * 20)
    assert not await whole(reader)  # it was cut off, so that nobody takes what it has for all
    writer.close()


async def whole(reader: asyncio.StreamReader) -> bool:
    """Return whether an answer that comes in chunks ends with the last one."""
    last = b""
    try:
        async with asyncio.timeout(SECONDS):
            while data := await reader.read(65536):
                last = (last + data)[-5:]
    except ConnectionError:
        return False
    return last == b"0\r\n\r\n"
