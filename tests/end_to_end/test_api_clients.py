"""Programs beside the daemon: the events in the terminal, tokens, and work that is started once though the daemon is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import COMMAND, CommandLine

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A user with a daemon that tests may kill, in a workspace."""
    line = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    line.run("up", "--device-host", "127.0.0.1")
    line.run("init", "project", "--template", "empty")
    yield line.within(line.folder / "project")
    line.run("down", "--stop-jobs")


def kill_daemon(line: CommandLine) -> None:
    """End the daemon as a crash would, and wait until its folder is free."""
    folders = Folders(line.home)
    runtime = json.loads(folders.runtime.read_text())
    os.kill(runtime["pid"], signal.SIGKILL)
    while process_lock.is_held(folders.lock):
        pass


def ask(line: CommandLine, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    runtime = json.loads((line.home / "runtime.json").read_text())
    headers = {"Authorization": f"Bearer {runtime['token']}"} | headers
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:{runtime['port']}/api/v1{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as response:
        return response.status, json.loads(response.read() or b"null")


def test_work_is_started_once_though_the_daemon_is_killed_before_the_client_asks_again(own: CommandLine) -> None:
    (own.folder / "model.mnn").write_bytes(b"none")
    workspace = own.json("workspaces")[0]["id"]
    path, key = f"/workspaces/{workspace}/tools/inspect", {"Idempotency-Key": "once"}
    _, first = ask(own, "POST", path, {"model": "model.mnn"}, **key)
    kill_daemon(own)
    own.run("up", "--device-host", "127.0.0.1")
    status, second = ask(own, "POST", path, {"model": "model.mnn"}, **key)
    assert (status, second["id"]) == (202, first["id"])
    assert [job["id"] for job in own.json("jobs")] == [first["id"]]
    queued = [event for event in own.json("events", "--since", "0") if event["kind"] == "job.queued"]
    assert [event["data"]["job"] for event in queued] == [first["id"]]


def test_the_client_asks_again_when_its_connection_breaks(own: CommandLine) -> None:
    """The daemon is killed while the client's connection stands open, and another one takes its place."""
    with contextlib.closing(Client(Folders(own.home))) as client:
        workspace = client.items("/workspaces")[0]["id"]
        before = len(own.json("jobs"))
        kill_daemon(own)
        own.run("up", "--device-host", "127.0.0.1")
        job = client.start(f"/workspaces/{workspace}/tools/inspect", {"model": "model.mnn"})
        assert client.get(f"/jobs/{job['id']}")["id"] == job["id"]
    assert len(own.json("jobs")) == before + 1


def test_a_name_that_no_token_can_have_is_refused_in_words(own: CommandLine) -> None:
    error = own.fail("token", "new", "my script")
    assert (error["code"], error["message"]) == ("invalid-input", "'my script' cannot be the name of a token.")
    assert "letters, digits" in error["hint"]


def test_a_cursor_that_no_event_has_had_is_told_and_it_goes_on(own: CommandLine) -> None:
    said = own.run("events", "--since", "999999")
    assert "(no event has had the cursor 999999: it goes on behind " in said


def test_events_are_followed_line_by_line(own: CommandLine) -> None:
    command = [
        str(COMMAND),
        "events",
        "--follow",
        "--since",
        "0",
        "--kind",
        "workspace",
        "--kind",
        "token.created",
        "--json",
    ]
    environment = {**os.environ, "EDGELOOP_HOME": str(own.home)}
    with subprocess.Popen(command, cwd=own.folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(60, process.kill)
        timer.start()
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["kind"] == "workspace.opened"
        own.run("token", "new", "followed")
        seen = [first]
        while seen[-1]["kind"] != "token.created":
            seen.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        timer.cancel()
    assert seen[-1]["data"] == {"name": "followed"}
    cursors = [event["cursor"] for event in seen]
    assert cursors == sorted(set(cursors))


def test_events_are_shown_in_eighty_columns_and_a_wrong_kind_is_named(own: CommandLine) -> None:
    shown = own.run("events", "--kind", "workspace.opened", "--all").splitlines()
    assert shown
    assert "workspace.opened" in shown[0]
    assert own.fail("events", "--kind", "weather")["code"] == "invalid-input"
    unknown = own.json("events", "--since", "1000000")
    assert [(event["kind"], event["data"]["since"]) for event in unknown] == [("reset", 1_000_000)]


def test_a_token_of_the_command_line_opens_the_api_until_it_is_revoked(own: CommandLine) -> None:
    text = own.run("token", "new", "editor").strip()
    status, listed = ask(own, "GET", "/tokens", Authorization=f"Bearer {text}")
    assert status == 200
    assert "editor" in [token["name"] for token in listed["items"]]
    assert "editor" in own.run("token", "list")
    assert own.fail("token", "new", "editor")["code"] == "conflict"
    own.run("token", "revoke", "editor")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(own, "GET", "/tokens", Authorization=f"Bearer {text}")
    assert own.fail("token", "revoke", "editor")["code"] == "not-found"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs the Debian package curl")
def test_the_shell_examples_of_the_documentation_work(own: CommandLine) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    (own.folder / "digits.mnn").write_bytes(b"none")
    before = len(own.json("jobs"))
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "".join(blocks)],
        cwd=own.folder,
        env={**os.environ, "EDGELOOP_HOME": str(own.home), "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "event: workspace.opened" in done.stdout
    assert len(own.json("jobs")) == before + 1
