"""A daemon without room on its disk, with a damaged database, or in a state folder that was half written."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end.chaos import works as chaos_works
from end_to_end.chaos.storm import PLUGIN, install_plugin
from end_to_end.command_line import COMMAND, CommandLine
from end_to_end.waiting import until

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import process_lock
from edgeloop_shared.errors import StorageDamagedError, StorageFullError

FILLER = "filler"
_MOUNT = 'mount -t tmpfs -o size=24m,mode=700 none "$0" && exec "$@"'


@contextlib.contextmanager
def small_disk_daemon(tmp_path: Path) -> Iterator[tuple[Client, Path]]:
    """Run a daemon whose state folder is a file system of 24 MiB; yield its client, and where the folder is seen from here.

    The file system is mounted in a mount namespace of the daemon's own: nobody else sees it, and it goes with the daemon.
    """
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": f"{install_plugin(tmp_path)}:{PLUGIN}"}
    command = [sys.executable, "-m", "edgeloop_daemon", "--home", str(home), "--device-host", "127.0.0.1"]
    with (tmp_path / "daemon.out").open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _MOUNT, str(home), *command],
            env=environment,
            stdout=output,
            stderr=output,
        )
    inside = Path(f"/proc/{process.pid}/root{home}")
    folders = Folders(inside)
    client = Client(folders)
    try:
        until(lambda: process.poll() is not None or client.is_running(), "the daemon starts")
        assert process.poll() is None, (tmp_path / "daemon.out").read_text()
        yield client, inside
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def fill(inside: Path) -> None:
    """Leave no byte free on the file system."""
    with (inside / FILLER).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65536)


def works(client: Client, workspace: str, key: str, truth: Path) -> str:
    body = {"truth": str(truth), "key": key, "lines": 3}
    job = client.post(f"/workspaces/{workspace}/tools/recount", body)["id"]
    until(lambda: client.get(f"/jobs/{job}")["ended_at"] is not None, "the job ends")
    return str(job)


HEAVY_LINES = 800
HEAVY_TASK = """
import hashlib, pathlib, sys, time
import edgeloop_task, numpy
gate, key = pathlib.Path(sys.argv[1]), sys.argv[2]
(gate / f"{key}.begun").touch()
while not (gate / f"{key}.go").exists():
    time.sleep(0.01)
model = edgeloop_task.load_model("tiny.mnn")
for _ in range(5):
    model(numpy.zeros((1, 5, 2, 2), numpy.float32))
for number in range(800):
    print(f"{key} line {number} " + "x" * 5000)
    edgeloop_task.report_metric("number", number, step=number)
pathlib.Path("report.bin").write_bytes(hashlib.sha256(key.encode()).digest() * 100_000)
edgeloop_task.report_file("report.bin")
edgeloop_task.report_result(key=key)
(gate / f"{key}.done").touch()
"""


@contextlib.contextmanager
def device(client: Client, tmp_path: Path) -> Iterator[Path]:
    """Run a paired virtual device, whose state lies on another disk than the daemon's; yield what it prints."""
    offer, printed = tmp_path / "offer", tmp_path / "device.out"
    offer.write_text(client.post("/pairing", {})["offer"])
    command = [sys.executable, "-m", "edgeloop_companion", "--state", str(tmp_path / "device"), "--name", "phone"]
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--virtual", "--allow", "--pair-offer-file", str(offer)], stdout=output, stderr=output
        )
    try:
        until(lambda: any(one["is_linked"] for one in client.items("/devices")), "the device links")
        yield printed
    finally:
        process.terminate()
        process.wait(30)


def test_a_device_keeps_what_a_full_disk_cannot_take_until_there_is_room(tmp_path: Path) -> None:
    project = tmp_path / "project"
    with small_disk_daemon(tmp_path) as (client, inside), device(client, tmp_path) as printed:
        workspace = client.post("/workspaces/new", {"path": str(project), "template": "empty"})["id"]
        chaos_works.lay_out(project, tmp_path)
        (project / "heavy.py").write_text(HEAVY_TASK)
        body = {"script": "heavy.py", "arguments": [str(tmp_path), "heavy"], "trace": True}
        run = client.post(f"/workspaces/{workspace}/runs", body)["id"]
        until(lambda: (tmp_path / "heavy.begun").exists(), "the script begins")
        fill(inside)
        (tmp_path / "heavy.go").touch()

        until(lambda: (tmp_path / "heavy.done").exists(), "the script is not held up for ever")
        until(lambda: "room" in printed.read_text(), "the device is told")
        assert client.get(f"/runs/{run}")["ended_at"] is None
        assert any(path.stat().st_size > 100_000 for path in (tmp_path / "device").rglob("spool.*"))

        (inside / FILLER).unlink()
        until(lambda: client.get(f"/runs/{run}")["ended_at"] is not None, "the run ends")
        ended = client.get(f"/runs/{run}")
        assert (ended["state"], ended["result"], ended["gaps"]) == ("succeeded", {"key": "heavy"}, [])
        lines = [line["text"] for line in client.run_log(run, follow=False) if line["text"].startswith("heavy")]
        assert [line.split()[2] for line in lines] == [str(number) for number in range(HEAVY_LINES)]
        assert len(client.items(f"/runs/{run}/metrics")) == HEAVY_LINES
        content = client.download(f"/runs/{run}/files/report.bin")
        assert content == hashlib.sha256(b"heavy").digest() * 100_000
        traced = [
            event
            for event in json.loads(client.download(f"/runs/{run}/trace"))["traceEvents"]
            if "mflops" in event.get("args", {})
        ]
        assert len(traced) == 5


def test_a_file_that_a_full_disk_cannot_take_is_sent_again_until_there_is_room(tmp_path: Path) -> None:
    project = tmp_path / "project"
    task = HEAVY_TASK.replace(f"range({HEAVY_LINES})", "range(3)")
    with small_disk_daemon(tmp_path) as (client, inside), device(client, tmp_path):
        workspace = client.post("/workspaces/new", {"path": str(project), "template": "empty"})["id"]
        chaos_works.lay_out(project, tmp_path)
        (project / "heavy.py").write_text(task)
        body = {"script": "heavy.py", "arguments": [str(tmp_path), "file"]}
        run = client.post(f"/workspaces/{workspace}/runs", body)["id"]
        until(lambda: (tmp_path / "file.begun").exists(), "the script begins")
        fill(inside)
        with (inside / FILLER).open("r+b") as file:
            file.truncate((inside / FILLER).stat().st_size - 1_500_000)  # for less than the half of it
        (tmp_path / "file.go").touch()

        until(lambda: any((inside / "blobs" / "partial").glob("*")), "the upload begins")
        until(lambda: shutil.disk_usage(inside).free < 4096, "it fills the disk")
        assert client.get(f"/runs/{run}")["files"][0]["is_received"] is False

        (inside / FILLER).unlink()
        until(lambda: client.get(f"/runs/{run}")["ended_at"] is not None, "the run ends")
        ended = client.get(f"/runs/{run}")
        assert (ended["state"], ended["result"], ended["files"][0]["is_received"]) == (
            "succeeded",
            {"key": "file"},
            True,
        )
        until(lambda: client.get(f"/runs/{run}")["files"][0]["is_received"], "the file comes")
        content = client.download(f"/runs/{run}/files/report.bin")
        assert content == hashlib.sha256(b"file").digest() * 100_000


def write_much(client: Client) -> None:
    """Change the database until that needs room which was not taken before."""
    for number in range(1, 1000):
        client.call("PUT", "/storage/policy", {"keep_newest": number})


def test_a_full_disk_is_told_harms_nothing_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    with small_disk_daemon(tmp_path) as (client, inside):
        workspace = client.post("/workspaces/new", {"path": str(tmp_path / "project"), "template": "empty"})["id"]
        before = works(client, workspace, "before", tmp_path)
        fill(inside)

        with pytest.raises(StorageFullError) as refused:
            works(client, workspace, "full", tmp_path)
        assert "edgeloop prune" in refused.value.hint
        with pytest.raises(StorageFullError):
            write_much(client)
        assert client.get(f"/jobs/{before}")["result"] == {"key": "before", "lines": 3}
        assert "before line 2" in "".join(client.job_log(before, follow=False))
        assert {job["id"] for job in client.items("/jobs")} == {before}
        assert {folder.name for folder in (inside / "jobs").iterdir()} == {before}

        (inside / FILLER).unlink()
        after = works(client, workspace, "after", tmp_path)
        assert client.get(f"/jobs/{after}")["state"] == "succeeded"


def test_a_daemon_that_finds_no_room_at_all_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = f'cat /dev/zero > "$0/{FILLER}" 2>/dev/null; exec "$@"'
    full = ["unshare", "--mount", "sh", "-c", _MOUNT, str(home), "sh", "-c", script, str(home), str(COMMAND), "up"]
    environment = {**os.environ, "EDGELOOP_HOME": str(home), "COLUMNS": "80"}
    done = subprocess.run(full, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert " ".join(done.stderr.split()) == (
        f"Error: The daemon did not start. There is no room left on the disk of {home}. Make room, then try again."
    )


@pytest.fixture
def user(tmp_path: Path) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path / "home", tmp_path)
    yield line
    line.run("down", "--stop-jobs")


def up(user: CommandLine) -> Client:
    user.run("up", "--device-host", "127.0.0.1")
    return Client(Folders(user.home))


def test_a_daemon_with_a_damaged_database_shows_what_can_be_read_and_says_so(user: CommandLine, tmp_path: Path) -> None:
    up(user)
    user.run("init", "project", "--template", "empty")
    user.run("down")
    database = user.home / "edgeloop.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("select rootpage from sqlite_master where name = 'metrics'").fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)

    client = up(user)
    with contextlib.closing(client):
        assert [one["name"] for one in client.items("/workspaces")] == ["project"]
        with pytest.raises(StorageDamagedError):
            client.post("/workspaces/new", {"path": str(tmp_path / "other"), "template": "empty"})
        with pytest.raises(StorageDamagedError):
            client.post("/pairing", {})
        assert "is damaged" in client.get("/status")["database_problem"]
    assert "is damaged" in user.call("status").stderr
    assert list(user.home.glob("edgeloop.db.damaged-*"))


def test_a_database_of_which_nothing_can_be_read_keeps_the_daemon_from_starting(user: CommandLine) -> None:
    user.home.mkdir()
    (user.home / "edgeloop.db").write_text("dear diary " * 1000)
    error = user.fail("up")
    assert error["hint"].count("is damaged") == 1
    assert "nothing of it can be read" in error["hint"]
    assert "edgeloop down" not in error["hint"]  # it does not run
    (copy,) = user.home.glob("edgeloop.db.damaged-*")
    assert copy.read_text() == "dear diary " * 1000


@pytest.mark.parametrize("options", [(), ("--foreground",)])
def test_a_state_folder_that_cannot_be_made_is_told_in_words(
    user: CommandLine, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.touch()
    there = dataclasses.replace(user, home=file)
    told = " ".join(there.call("up", *options).stderr.split())
    assert told.startswith(f"Error: The state folder {file} cannot be used: File exists.")
    assert "EDGELOOP_HOME" in told
    found = {item["check"]: item["found"] for item in json.loads(there.call("doctor", "--json").stdout)["items"]}
    assert found["state-folder"] == f"{file} is not a folder."
    assert not any("Errno" in words for words in found.values())


@pytest.mark.parametrize("spoil", ["garbage", "empty", "missing"])
@pytest.mark.parametrize("name", ["runtime.json", "declarations.json", "device-port.crt", "device-port.key"])
def test_a_state_folder_that_was_half_written_is_repaired_by_the_next_start(
    half_written: CommandLine, name: str, spoil: str
) -> None:
    path = half_written.home / name
    path.unlink(missing_ok=True)
    if spoil != "missing":
        path.write_bytes(b"\0garbage" if spoil == "garbage" else b"")
    half_written.run("up", "--device-host", "127.0.0.1")
    assert half_written.json("status")["is_running"]
    assert json.loads((half_written.home / "declarations.json").read_text())["tools"]
    assert half_written.json("devices") == []
    half_written.run("down")


@pytest.fixture(scope="module")
def half_written(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    line = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    line.run("up", "--device-host", "127.0.0.1")
    line.run("down")
    return line


def test_two_daemons_that_start_in_the_same_moment_leave_one(user: CommandLine) -> None:
    Folders(user.home).create()
    command = [sys.executable, "-m", "edgeloop_daemon", "--home", str(user.home), "--device-host", "127.0.0.1"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    until(lambda: any(one.poll() is not None for one in both), "one of them gives way")
    (loser,) = [one for one in both if one.poll() is not None]
    (winner,) = [one for one in both if one is not loser]
    _, words = loser.communicate()
    assert loser.returncode == 1
    assert "Another edgeloop daemon uses" in words
    until(lambda: Client(Folders(user.home)).is_running(), "the other one serves")
    assert user.json("status")["pid"] == winner.pid
    user.run("down")
    winner.communicate()
    assert not process_lock.is_held(Folders(user.home).lock)
