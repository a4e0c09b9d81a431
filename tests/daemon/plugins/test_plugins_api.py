"""The whole way over HTTP: workspaces, tools, operations and training as jobs, their logs and metrics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blockbuster import blockbuster_ctx
from daemon.plugins.conftest import NewPlugin
from openapi_spec_validator import validate

from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.http.job_routes import job_routes
from edgeloop_daemon.http.plugin_routes import plugin_routes
from edgeloop_daemon.http.server import local_api
from edgeloop_daemon.http.streams import Streams
from edgeloop_daemon.http.tokens import Tokens
from edgeloop_daemon.http.workspace_routes import workspace_routes
from edgeloop_daemon.jobs.jobs import open_jobs
from edgeloop_daemon.plugins import load_plugins
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.workspaces.workspaces import Workspaces

PLUGIN = """
    @dataclass(frozen=True)
    class Shrink:
        model: ModelPath
        bits: int = field(default=8, metadata={"ge": 2, "le": 8})
        data: tuple[DataPath, ...] = ()
        name: str | None = None

    @dataclass(frozen=True)
    class Shrunk:
        model: str
        data: tuple[str, ...]
        bits: int

    @dataclass(frozen=True)
    class Nothing:
        pass

    @dataclass(frozen=True)
    class Notes:
        lines: tuple[str, ...]

    @dataclass(frozen=True)
    class Rocket:
        stages: int = field(metadata={"ge": 1})

    def shrink(parameters, context):
        context.log("shrinking")
        return Shrunk(parameters.model, parameters.data, parameters.bits)

    def list_notes(parameters, workspace):
        return Notes(tuple((workspace / "notes").read_text().splitlines()))

    def sort_notes(parameters, context):
        return Notes(tuple(sorted((context.workspace / "notes").read_text().splitlines())))

    def lose_notes(parameters, workspace):
        pass

    def mix_notes_up(parameters, context):
        return Nothing()

    @hookimpl
    def edgeloop_model_tools():
        return [ModelTool("shrink-it", "Make a model smaller.", Shrink, Shrunk, "MODULE:shrink")]

    @hookimpl
    def edgeloop_training_backends():
        return [TrainingBackend("moon", "Train on the moon.", Rocket, "MODULE:Moon")]

    @hookimpl
    def edgeloop_workspace_operations():
        yield WorkspaceOperation("notes", "list", "List the notes.", Nothing, Notes, "MODULE:list_notes", runs="query")
        yield WorkspaceOperation("notes", "sort", "Sort the notes.", Nothing, Notes, "MODULE:sort_notes")
        yield WorkspaceOperation("notes", "lose", "Lose them.", Nothing, Notes, "MODULE:lose_notes", runs="query")
        yield WorkspaceOperation("notes", "mix-up", "Mix the notes up.", Nothing, Notes, "MODULE:mix_notes_up")
"""
TRAIN = """\
import json, os, pathlib
print("training on", os.environ["EDGELOOP_DATA_DIGITS"])
print(json.dumps({"step": 1, "loss": 0.5}))
print(json.dumps({"step": 2, "loss": 0.25}))
pathlib.Path(os.environ["EDGELOOP_OUTPUT"], "model.mnn").write_bytes(b"weights")
"""
SETTINGS = """\
name = "Demo"
[train]
command = "python train.py"
data = {digits = "digits"}
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


class Api:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(self, method: str, path: str, body: object = None) -> Answer:
        async with self._session.request(method, f"/api/v1{path}", json=body) as response:
            text = await response.text()
            return Answer(response.status, json.loads(text) if text else None, dict(response.headers))

    async def ended(self, job: Mapping[str, Any]) -> Any:
        """Follow a job's log to its end and return the job."""
        offset, ended = 0, False
        while not ended:
            page = (await self("GET", f"/jobs/{job['id']}/log?offset={offset}&wait=30")).body
            offset, ended = page["next_offset"], page["ended"]
        return (await self("GET", f"/jobs/{job['id']}")).body


@pytest.fixture
async def api(new_plugin: NewPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    plugins = load_plugins(
        [
            new_plugin("own", PLUGIN),
            EntryPoint("git_flow", "edgeloop_plugins.git_flow.plugin", "edgeloop"),
            EntryPoint("training_local", "edgeloop_plugins.training_local.plugin", "edgeloop"),
            EntryPoint("templates", "edgeloop_plugins.templates.plugin", "edgeloop"),
            EntryPoint("broken", "no_such_module", "edgeloop"),
        ],
        disabled=DisabledPlugins(tmp_path / "disabled.json"),
    )
    tokens = Tokens()
    token = tokens.issue("test")
    async with (
        open_database(tmp_path / "edgeloop.db") as database,
        open_jobs(tmp_path / "jobs", database) as jobs,
    ):
        workspaces = Workspaces(database, plugins)
        routes = (
            *job_routes(jobs, Streams()),
            *workspace_routes(workspaces),
            *plugin_routes(plugins, workspaces, jobs),
        )
        with blockbuster_ctx("edgeloop_daemon"):
            async with (
                local_api(routes, tokens, 0) as port,
                aiohttp.ClientSession(
                    f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}
                ) as session,
            ):
                yield Api(session)
        await jobs.stop_all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    for name, text in (("edgeloop.toml", SETTINGS), ("train.py", TRAIN), ("notes", "b\na\n"), ("digits", "8")):
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


@pytest.fixture
async def workspace(api: Api, folder: Path) -> str:
    opened = await api("POST", "/workspaces", {"path": str(folder), "trust": True})
    assert opened.status == 200, opened.body
    return f"/workspaces/{opened.body['id']}"


@pytest.mark.hook("edgeloop_model_tools")
async def test_a_tool_runs_as_a_job_with_paths_of_the_workspace(api: Api, workspace: str, folder: Path) -> None:
    begun = await api(
        "POST", f"{workspace}/tools/shrink-it", {"model": "a.mnn", "bits": 4, "data": ["x.npz", "/y.npz"]}
    )
    job = await api.ended(begun.body)

    assert (begun.status, begun.headers["Location"]) == (202, f"/api/v1/jobs/{job['id']}")
    assert (job["kind"], job["name"], job["state"], job["error"]) == ("tool", "shrink-it", "succeeded", None)
    assert job["result"] == {"model": f"{folder}/a.mnn", "data": [f"{folder}/x.npz", "/y.npz"], "bits": 4}
    assert (await api("GET", f"/jobs/{job['id']}/log")).body == {
        "text": "shrinking\n",
        "next_offset": 10,
        "ended": True,
    }
    assert (await api("GET", f"/jobs?workspace={job['workspace']}&limit=1")).body["items"] == [job]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"model": "a", "bits": 9}, "bits"),
        ({"model": "a", "bits": "8"}, "bits"),
        ({"model": "a", "colour": "red"}, "colour"),
        ({"model": ""}, "model"),
        ({"model": "a\0b"}, "model"),
        ({"model": "a", "data": ["b", ""]}, "data"),
    ],
)
async def test_parameters_that_do_not_fit_are_named_and_start_nothing(
    api: Api, workspace: str, body: dict[str, Any], field: str
) -> None:
    answer = await api("POST", f"{workspace}/tools/shrink-it", body)

    assert (answer.status, answer.body["code"]) == (422, "invalid-input")
    assert answer.body["details"]["fields"][0]["field"] == field
    assert (await api("GET", "/jobs")).body["items"] == []


@pytest.mark.hook("edgeloop_workspace_operations")
async def test_operations_answer_at_once_or_run_as_a_job(api: Api, workspace: str) -> None:
    listed = await api("POST", f"{workspace}/notes/list")
    begun = await api("POST", f"{workspace}/notes/sort")

    assert (listed.status, listed.body) == (200, {"lines": ["b", "a"]})
    assert (begun.status, begun.body["kind"], begun.body["name"]) == (202, "operation", "notes sort")
    assert (await api.ended(begun.body))["result"] == {"lines": ["a", "b"]}


@pytest.mark.hook("edgeloop_training_backends")
async def test_training_runs_the_recorded_state_and_brings_metrics_and_artifacts(
    api: Api, workspace: str, folder: Path
) -> None:
    begun = await api("POST", f"{workspace}/train", {})
    job = await api.ended(begun.body)
    metrics = (await api("GET", f"/jobs/{job['id']}/metrics")).body["items"]
    log = (await api("GET", f"/jobs/{job['id']}/log")).body["text"]

    assert job["error"] is None
    assert (job["kind"], job["name"]) == ("train", "local")
    assert job["result"]["metrics"] == {"loss": 0.25}
    assert [(point["tag"], point["step"], point["value"]) for point in metrics] == [("loss", 1, 0.5), ("loss", 2, 0.25)]
    assert f"training on {folder}/digits\n" in log
    assert (folder / "artifacts" / "latest" / "model.mnn").read_bytes() == b"weights"


async def test_training_is_refused_with_what_is_wrong(api: Api, workspace: str, folder: Path) -> None:
    unknown = await api("POST", f"{workspace}/train", {"backend": "sun"})
    surplus = await api("POST", f"{workspace}/train", {"parameters": {"gpus": 8}})
    missing = await api("POST", f"{workspace}/train", {"backend": "moon"})
    (folder / "edgeloop.toml").write_text('name = "Demo"\n')
    speechless = await api("POST", f"{workspace}/train", {})
    (folder / "edgeloop.toml").write_text('name = "Demo"\n[train]\ncomand = "x"')
    misspelt = await api("POST", f"{workspace}/train", {})

    assert (unknown.status, unknown.body["hint"]) == (404, "There are: moon, local.")
    assert (surplus.status, surplus.body["details"]["fields"][0]["field"]) == (422, "gpus")
    assert (missing.status, missing.body["details"]["fields"][0]["field"]) == (422, "stages")
    assert (speechless.status, speechless.body["code"]) == (422, "invalid-settings")
    assert (misspelt.status, misspelt.body["details"]["line"]) == (422, 3)


async def test_nothing_of_a_workspace_runs_before_it_is_trusted(api: Api, folder: Path) -> None:
    opened = (await api("POST", "/workspaces", {"path": str(folder)})).body
    path = f"/workspaces/{opened['id']}"
    for what in ("train", "tools/shrink-it", "notes/list", "notes/sort", "git/snapshot"):
        answer = await api("POST", f"{path}/{what}", {"model": "a"} if what.startswith("tools") else {})
        assert (what, answer.status, answer.body["code"]) == (what, 403, "not-trusted")
    before = await api("GET", f"{path}/trust")
    trusted = await api("POST", f"{path}/trust", {"trusted": True})

    assert before.body == {"is_trusted": False, "risks": []}
    assert trusted.body["is_trusted"]
    assert (await api("POST", f"{path}/notes/list")).status == 200


async def test_workspaces_are_created_listed_and_closed(api: Api, tmp_path: Path) -> None:
    created = await api("POST", "/workspaces/new", {"path": str(tmp_path / "fresh"), "template": "empty"})
    listed = await api("GET", "/workspaces")
    closed = await api("DELETE", f"/workspaces/{created.body['id']}")
    gone = await api("GET", f"/workspaces/{created.body['id']}")

    assert (created.status, created.body["name"], created.body["is_trusted"]) == (201, "fresh", True)
    assert [item["id"] for item in listed.body["items"]] == [created.body["id"]]
    assert (closed.status, closed.body) == (204, None)
    assert (gone.status, gone.body["code"]) == (404, "not-found")
    assert (tmp_path / "fresh" / "edgeloop.toml").exists()


@pytest.mark.parametrize("path", ["relative", "", "/a\0b", "~/x"])
async def test_a_path_that_is_not_absolute_is_refused(api: Api, path: str) -> None:
    assert (await api("POST", "/workspaces", {"path": path})).status == 422


async def test_plugins_are_listed_with_those_that_failed(api: Api) -> None:
    items = {item["name"]: item for item in (await api("GET", "/plugins")).body["items"]}

    assert (items["own"]["state"], items["own"]["tools"]) == ("loaded", ["shrink-it"])
    assert items["broken"]["state"] == "failed"
    assert "no_such_module" in items["broken"]["error"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "state=sleeping", "offset=1", "limit=1&limit=2", "workspace=w1;drop"]
)
async def test_queries_that_do_not_fit_are_refused(api: Api, query: str) -> None:
    answer = await api("GET", f"/jobs?{query}")

    assert answer.status == (200 if query.startswith("workspace") else 422)


async def test_a_job_that_does_not_exist_is_not_found_at_every_address(api: Api) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/log?wait=1"), ("GET", "/metrics")):
        assert (await api(method, f"/jobs/j0{path}")).status == 404


async def test_every_declaration_stands_in_a_valid_openapi_document(api: Api) -> None:
    document = (await api("GET", "/openapi.json")).body
    validate(document)

    paths = document["paths"]
    tool = paths["/api/v1/workspaces/{workspace}/tools/shrink-it"]["post"]
    assert tool["summary"] == "Make a model smaller."
    assert "202" in tool["responses"]
    assert "200" in paths["/api/v1/workspaces/{workspace}/notes/list"]["post"]["responses"]
    assert document["components"]["schemas"]["Shrink"]["properties"]["bits"] == {
        "type": "integer",
        "minimum": 2,
        "maximum": 8,
        "default": 8,
        "title": "Bits",
    }


async def test_a_plugin_is_disabled_and_enabled_for_the_next_start(api: Api) -> None:
    off = await api("PATCH", "/plugins/own", {"is_enabled": False})
    listed = {item["name"]: item["is_enabled"] for item in (await api("GET", "/plugins")).body["items"]}
    on = await api("PATCH", "/plugins/own", {"is_enabled": True})
    unknown = await api("PATCH", "/plugins/nobody", {"is_enabled": True})
    odd = await api("PATCH", "/plugins/own", {"is_enabled": "no"})

    assert (off.body["state"], off.body["is_enabled"]) == ("loaded", False)
    assert not listed["own"]
    assert listed["broken"]
    assert on.body["is_enabled"]
    assert (unknown.status, unknown.body["code"]) == (404, "not-found")
    assert odd.status == 422


async def test_a_query_or_a_job_that_returns_something_else_than_declared_is_the_plugins_fault(
    api: Api, workspace: str
) -> None:
    asked = await api("POST", f"{workspace}/notes/lose")
    job = await api.ended((await api("POST", f"{workspace}/notes/mix-up")).body)

    assert (asked.status, asked.body["code"]) == (500, "plugin-failed")
    assert asked.body["detail"].endswith(":lose_notes returned nothing instead of Notes.")
    assert job["error"]["code"] == "plugin-failed"
    assert job["error"]["message"].endswith(":mix_notes_up returned a value of the type Nothing instead of Notes.")
