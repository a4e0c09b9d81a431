"""`edgeloop down`: what goes on without the daemon, what ends with it, and that nothing keeps it from ending."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end.chaos.storm import PLUGIN, install_plugin
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock

LINES = 2000  # half a minute, unless it is cancelled
GATED = """
import pathlib, sys, time
print("begun", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("done", flush=True)
"""
ENDLESS = "import time\nprint('begun', flush=True)\nwhile True:\n    time.sleep(0.1)\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[CommandLine]:
    variables = {"PYTHONPATH": f"{install_plugin(tmp_path)}:{PLUGIN}"}
    user = CommandLine(tmp_path / "home", tmp_path, variables)
    user.run("up", "--device-host", "127.0.0.1")
    user.run("init", "project", "--template", "empty")
    yield user.within(tmp_path / "project")
    user.run("down", "--stop-jobs")


def client_of(project: CommandLine) -> contextlib.closing[Client]:
    return contextlib.closing(Client(Folders(project.home)))


def begin_tool(project: CommandLine) -> str:
    """Start a tool that runs for long; return its id once it has begun."""
    with client_of(project) as client:
        (workspace,) = client.items("/workspaces")
        body = {"truth": str(project.home), "key": "counted", "lines": LINES}
        job = str(client.post(f"/workspaces/{workspace['id']}/tools/recount", body)["id"])
        until(lambda: bool(client.get(f"/jobs/{job}/log", wait=10)["text"]), "the tool begins")
    return job


@contextlib.contextmanager
def open_stream(project: CommandLine) -> Iterator[http.client.HTTPResponse]:
    """Follow the events as a dashboard does."""
    runtime = json.loads((project.home / "runtime.json").read_text())
    connection = http.client.HTTPConnection("127.0.0.1", runtime["port"], timeout=60)
    headers = {"Authorization": f"Bearer {runtime['token']}", "Accept": "text/event-stream"}
    connection.request("GET", "/api/v1/events/stream", headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    yield response
    connection.close()


def test_a_job_goes_on_without_the_daemon_and_the_next_one_takes_it_up(project: CommandLine) -> None:
    job = begin_tool(project)
    lock = project.home / "jobs" / job / "lock"
    with open_stream(project) as stream:
        project.run("down")
        stream.read()  # to its end
    assert not process_lock.is_held(project.home / "daemon.lock")
    assert process_lock.is_held(lock)
    project.run("up", "--device-host", "127.0.0.1")
    with client_of(project) as client:
        assert client.get(f"/jobs/{job}")["state"] == "running"
        client.delete(f"/jobs/{job}")
        until(lambda: client.get(f"/jobs/{job}")["state"] == "cancelled", "the job ends")


def test_who_follows_a_job_when_the_daemon_ends_is_told_how_to_go_on(project: CommandLine, tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as errors:
        follower = project.start("recount", str(tmp_path), "followed", str(LINES), errors=errors.fileno())
    with client_of(project) as client:
        until(lambda: client.items("/jobs") and client.items("/jobs")[0]["state"] == "running", "the job runs")
        job = client.items("/jobs")[0]["id"]
    project.run("down")
    assert follower.wait(60) == 1
    assert f"{job} may go on without it: `edgeloop logs -f {job}`" in " ".join(
        (tmp_path / "errors").read_text().split()
    )
    project.run("up", "--device-host", "127.0.0.1")
    assert project.json("jobs")[0]["state"] == "running"


def test_a_run_on_a_virtual_device_goes_on_without_the_daemon_and_the_next_one_hears_all_of_it(
    project: CommandLine,
) -> None:
    project.run("device", "virtual", "--allow", "--count", "2", "--name", "pocket")
    (project.folder / "gated.py").write_text(GATED)
    run = project.json("run", "--detach", "--device", "pocket", "gated.py", str(project.folder / "gate"))["id"]
    with client_of(project) as client:
        until(lambda: bool(client.get(f"/runs/{run}/log", wait=10)["items"]), "the script begins")
    told = project.json("down")
    assert (told["virtual_devices"], told["going_on"]) == (["pocket-2"], ["pocket"])
    (project.folder / "gate").touch()
    project.run("up", "--device-host", "127.0.0.1")
    with client_of(project) as client:
        until(lambda: client.get(f"/runs/{run}")["ended_at"] is not None, "the run ends")
        assert client.get(f"/runs/{run}")["state"] == "succeeded"
        assert [line["text"].strip() for line in client.run_log(run, follow=False)] == ["begun", "done"]
    assert project.json("down")["going_on"] == []


def test_with_stop_jobs_nothing_goes_on(project: CommandLine) -> None:
    project.run("device", "virtual", "--allow", "--name", "pocket")
    (project.folder / "endless.py").write_text(ENDLESS)
    run = project.json("run", "--detach", "endless.py")["id"]
    with client_of(project) as client:
        until(lambda: bool(client.get(f"/runs/{run}/log", wait=10)["items"]), "the script begins")
    job = begin_tool(project)
    with open_stream(project):
        project.run("down", "--stop-jobs")
    assert not process_lock.is_held(project.home / "jobs" / job / "lock")
    project.run("up", "--device-host", "127.0.0.1")
    with client_of(project) as client:
        assert client.get(f"/jobs/{job}")["state"] == "cancelled"
        assert client.get(f"/runs/{run}")["state"] == "cancelled"
