"""The API's routes on devices, pairing and runs, over the real local listener."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import link, pair_by_code
from openapi_spec_validator import validate

from edgeloop_daemon.debugging.breakpoints import Breakpoints
from edgeloop_daemon.devices.bundles import RunWorkspace
from edgeloop_daemon.http.device_routes import device_routes
from edgeloop_daemon.http.run_routes import run_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.http.trace_routes import trace_routes
from edgeloop_daemon.traces.store import TraceStore
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.models import RunState
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import FileAnnounced, LogLine, MetricReported, TaskFinished
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch


@dataclass(frozen=True)
class Api:
    """The API with the token that it wants."""

    daemon: DeviceDaemon
    session: aiohttp.ClientSession
    base: str

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.base + path, json=body, params=query) as response:
            return response.status, await response.json() if response.content_type.endswith("json") else None


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    tokens = Tokens()
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()

        async def find(workspace: str) -> RunWorkspace:
            if workspace != daemon.workspace.id:
                raise NotFoundError(f"There is no workspace {workspace!r}.")
            return daemon.workspace

        routes = (
            *device_routes(daemon.devices, daemon.pairing, daemon.discovery),
            *run_routes(daemon.runs, find, Breakpoints(daemon.database), Streams()),
            *trace_routes(daemon.runs, TraceStore(daemon.database), Streams()),
        )
        headers = {"Authorization": f"Bearer {tokens.issue('test')}"}
        async with local_api(routes, tokens, 0) as port, aiohttp.ClientSession(headers=headers) as session:
            yield Api(daemon, session, f"http://127.0.0.1:{port}/api/v1")


async def test_pairing_is_opened_followed_and_undone(api: Api) -> None:
    status, window = await api.ask("POST", "/pairing", {})
    assert (status, window["state"], window["addresses"], window["device_id"]) == (200, "open", ["127.0.0.1"], None)
    assert window["offer"].startswith(f"EDGELOOP://P1/{window['port']}/127.0.0.1/")
    phone = await pair_by_code(window["port"], window["code"], name="pocket")
    _, window = await api.ask("GET", "/pairing", wait=5)
    assert (window["state"], window["device_id"]) == ("paired", phone.id)
    _, devices = await api.ask("GET", "/devices")
    assert [(device["info"]["name"], device["is_linked"]) for device in devices["items"]] == [("pocket", False)]
    assert (await api.ask("DELETE", f"/devices/{phone.id}"))[0] == 204
    assert (await api.ask("GET", "/devices"))[1] == {"items": [], "next": None}
    assert (await api.ask("DELETE", f"/devices/{phone.id}"))[0] == 404


async def test_pairing_is_closed(api: Api) -> None:
    assert (await api.ask("GET", "/pairing"))[0] == 404
    await api.ask("POST", "/pairing", {"timeout_seconds": 30})
    assert (await api.ask("DELETE", "/pairing"))[0] == 204
    assert (await api.ask("GET", "/pairing"))[1]["state"] == "closed"


@pytest.mark.parametrize("seconds", [0, 601, "30"])
async def test_a_window_is_open_for_a_reasonable_time(api: Api, seconds: object) -> None:
    assert (await api.ask("POST", "/pairing", {"timeout_seconds": seconds}))[0] == 422


async def test_a_run_from_start_to_file(api: Api) -> None:
    content = b"<script>alert(1)</script>"
    name = 'deep/page "1".html'
    async with link(await api.daemon.pair()) as linked:
        status, run = await api.ask("POST", "/workspaces/w1/runs", {"script": "task.py", "trace": True})
        assert (status, run["state"], run["trace"]) == (202, "queued", True)
        path = f"/runs/{run['id']}"
        await linked.accept()
        await linked.report(run["id"], MetricReported("loss", 0.5, 3))
        await linked.report(run["id"], ProgressReported(3, 10, "resizing"))
        await linked.send(f"{run['id']}.logs", encode_json(LogLine(1, "stderr", "hello")))
        announced = FileAnnounced(name, hashlib.sha256(content).hexdigest(), len(content))
        await linked.acknowledged(f"{run['id']}.events", await linked.report(run["id"], announced))
        await linked.upload(content)
        await linked.report(run["id"], TaskFinished(1, RunState.SUCCEEDED, 1, 0))
        _, run = await api.ask("GET", path, wait=10)
    assert run["state"] == "succeeded"
    assert run["progress"] == {"done": 3, "total": 10, "text": "resizing"}
    assert [(file["name"], file["is_received"]) for file in run["files"]] == [(name, True)]
    _, log = await api.ask("GET", f"{path}/log", wait=5)
    assert [(item["source"], item["text"]) for item in log["items"]] == [("stderr", "hello")]
    _, log = await api.ask("GET", f"{path}/log", offset=log["next_offset"], wait=5)
    assert log["ended"]
    _, metrics = await api.ask("GET", f"{path}/metrics")
    assert [(item["tag"], item["step"], item["value"]) for item in metrics["items"]] == [("loss", 3, 0.5)]
    async with api.session.get(f"{api.base}{path}/files/{name}") as response:
        assert await response.read() == content
        assert response.content_type == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''page%20%221%22.html"
    assert (await api.ask("GET", "/runs", workspace="w1"))[1]["items"] == [run]
    assert (await api.ask("GET", f"{path}/trace"))[0] == 404
    assert (await api.ask("DELETE", path))[1]["state"] == "succeeded"


async def test_a_trace_from_its_first_batch_to_its_export(api: Api) -> None:
    async with link(await api.daemon.pair()) as linked:
        _, run = await api.ask("POST", "/workspaces/w1/runs", {"script": "task.py", "trace": True})
        path = f"/runs/{run['id']}/trace"
        await linked.accept()
        await linked.report(run["id"], OperatorTable(1, "a.mnn", "cpu", 0, (Operator("conv", "Convolution"),)))
        waiting = asyncio.create_task(api.ask("GET", f"{path}/summary", since=0, wait=10))
        await linked.send(f"{run['id']}.traces", pack_batch(TraceBatch(1, [0, 0], [0, 1], [5, 9], [2, 2])))
        _, summary = await waiting
        while not summary["events"]:
            _, summary = await api.ask("GET", f"{path}/summary", since=summary["size"], wait=10)
        assert (summary["state"], summary["events"]) == ("queued", 2)
        followed = api.session.get(f"{api.base}{path}/stream")
        async with followed as stream:
            assert (await stream.content.readuntil(b"event: trace\n")).endswith(b"id: 2\nevent: trace\n")
            await linked.report(run["id"], TaskFinished(1, RunState.SUCCEEDED, 0, 1))
            rest = await stream.content.read()
        assert b'"state":"succeeded"' in rest
        assert rest.rstrip().endswith(b"event: end\ndata: {}")
    _, top = await api.ask("GET", f"{path}/operators", by="type", limit=1)
    assert [(item["name"], item["calls"], item["total_ms"]) for item in top["items"]] == [("Convolution", 2, 4e-6)]
    assert (await api.ask("GET", f"{path}/operators", by="size"))[0] == 422
    assert (await api.ask("GET", f"{path}/spans"))[1] == {"items": []}
    _, listed = await api.ask("GET", "/traces", workspace="w1")
    assert [(item["run"], item["events"]) for item in listed["items"]] == [(run["id"], 2)]
    assert (await api.ask("GET", "/traces", workspace="w2"))[1]["items"] == []
    _, exported = await api.ask("GET", path)
    assert [event["name"] for event in exported["traceEvents"] if event["ph"] == "X"] == ["conv", "conv"]
    assert "run.queued" in [event["name"] for event in exported["traceEvents"] if event["pid"] == 2]
    _, compared = await api.ask("GET", f"{path}/compare/{run['id']}")
    assert compared["sessions"][0]["whole"]["difference_ms"] == 0


@pytest.mark.parametrize("name", ["other", "..%2f..%2fedgeloop.db", "%2e%2e/%2e%2e/edgeloop.db", "/etc/passwd"])
async def test_only_reported_files_are_there(api: Api, name: str) -> None:
    async with link(await api.daemon.pair()) as linked:
        _, run = await api.ask("POST", "/workspaces/w1/runs", {"script": "task.py"})
        await linked.accept()
        assert (await api.ask("GET", f"/runs/{run['id']}/files/{name}"))[0] == 404


async def test_what_does_not_exist_is_not_found(api: Api) -> None:
    for method, path in (
        ("GET", "/runs/rx"),
        ("DELETE", "/runs/rx"),
        ("GET", "/runs/rx/log"),
        ("GET", "/runs/rx/trace"),
        ("GET", "/runs/rx/trace/summary"),
        ("GET", "/runs/rx/trace/operators"),
        ("GET", "/runs/rx/trace/spans"),
        ("GET", "/runs/rx/trace/stream"),
        ("GET", "/runs/rx/trace/compare/ry"),
    ):
        assert (await api.ask(method, path))[0] == 404
    assert (await api.ask("POST", "/workspaces/other/runs", {"script": "task.py"}))[0] == 404


async def test_the_routes_make_a_valid_openapi_document(api: Api) -> None:
    _, document = await api.ask("GET", "/openapi.json")
    validate(document)
    assert "/api/v1/runs/{run}/files/{name}" in document["paths"]
