"""A search for a divergence whose device is lost in the middle of it, or whose script is ended there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cable_parts import Cable, laid
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until

from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared.pairing import parse_offer
from edgeloop_shared.process_lock import signal_holder

MODELS = Path(__file__).parents[1] / "plugins" / "divergence" / "divergence_models.py"
WAITING = """
import pathlib, sys, time
import edgeloop_task
import numpy as np
model = edgeloop_task.load_model("good.mnn")
print("here", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
edgeloop_task.stage("one", np.ones(3, np.float32))
model(np.ones(model.inputs[0].shape, np.float32))
"""
HUNGRY = "import numpy as np\nprint('here', flush=True)\ntaken = np.ones(300 * 2**20 // 8)\n"


@dataclass(frozen=True)
class Search:
    """A search that has begun: its script waits on the device for the file `go`."""

    user: CommandLine
    process: Process
    companion: Process
    state: Path
    cable: Cable
    go: Path

    async def ends(self) -> tuple[int, Any]:
        """Return the status and what was printed."""
        async with asyncio.timeout(90):
            printed, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, json.loads(printed)


@asynccontextmanager
async def companion_at(state: Path, *options: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "edgeloop_companion", "--state", str(state), "--name", "field", "--virtual")
    process = await asyncio.create_subprocess_exec(*command, *options, stdout=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture(scope="module")
def project(workspace: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    folder = tmp_path_factory.mktemp("diverging")
    subprocess.run([sys.executable, str(MODELS), str(folder)], check=True, capture_output=True, timeout=120)
    shutil.copy(folder / "good.mnn", workspace.folder)
    (workspace.folder / "waiting.py").write_text(WAITING)
    workspace.run("trust", "--yes")
    return workspace


@pytest_asyncio.fixture
async def search(project: CommandLine, tmp_path: Path) -> AsyncIterator[Search]:
    window = await asyncio.to_thread(project.api, "/pairing", {})
    offer = parse_offer(window["offer"])
    go, state, path = tmp_path / "go", tmp_path / "state", tmp_path / "offer"
    async with laid(offer.port) as cable:
        path.write_text(replace(offer, port=cable.port).text())
        async with companion_at(state, "--allow", "--pair-offer-file", str(path)) as companion:
            await asyncio.to_thread(until, lambda: field(project, is_linked=True), "the device is linked")
            process = await asyncio.create_subprocess_exec(
                *(str(project.command), "diverge", "--json", "--device", "field", "--arguments", str(go), "waiting.py"),
                cwd=project.folder,
                env={**os.environ, "EDGELOOP_HOME": str(project.home)},
                stdout=PIPE,
                stderr=DEVNULL,
                stdin=DEVNULL,
            )
            try:
                await asyncio.to_thread(project.wait_for_run, "running")
                yield Search(project, process, companion, state, cable, go)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.communicate()
                for device in field(project):
                    await asyncio.to_thread(project.run, "device", "forget", device)


def field(user: CommandLine, *, is_linked: bool | None = None) -> list[str]:
    """Return the ids of the devices that are called `field`."""
    return [
        one["id"]
        for one in user.api("/devices")["items"]
        if one["info"]["name"] == "field" and is_linked in (None, one["is_linked"])
    ]


async def test_a_link_that_is_cut_and_comes_back_changes_no_verdict(search: Search) -> None:
    search.cable.is_plugged_in = False  # or the device is back before anybody sees that it was away
    search.cable.cut()
    await asyncio.to_thread(until, lambda: field(search.user, is_linked=False), "the link is lost")
    search.cable.is_plugged_in = True
    await asyncio.to_thread(until, lambda: field(search.user, is_linked=True), "the device is back")
    search.go.touch()
    status, found = await search.ends()
    assert (status, found["finding"]) == (0, "none"), found


async def test_a_device_that_was_started_anew_ends_it_with_an_error_that_says_what_became_of_the_run(
    search: Search,
) -> None:
    search.companion.kill()
    await search.companion.wait()
    (folder,) = search.state.glob("hosts/*/runs/*")
    await asyncio.to_thread(signal_holder, RunFolder(folder).lock, signal.SIGKILL)
    async with companion_at(search.state):
        status, printed = await search.ends()
    assert status == 2
    assert printed["error"]["code"] == "task-crashed", printed
    assert printed["error"]["hint"]


async def test_a_device_that_is_gone_for_good_ends_it_with_an_error_that_names_it(search: Search) -> None:
    (device,) = field(search.user)
    await asyncio.to_thread(search.user.run, "device", "forget", device)
    status, printed = await search.ends()
    assert (status, printed["error"]["code"]) == (2, "device-vanished"), printed
    assert "field" in printed["error"]["message"]
    assert printed["error"]["hint"]


@pytest.mark.parametrize(
    ("command", "status"),
    [(("diverge", "hungry.py"), 2), (("trace", "hungry.py"), 1), (("run", "--debug", "hungry.py"), 1)],
)
def test_a_script_that_reaches_its_memory_limit_says_so_in_every_tool(
    project: CommandLine, device: dict[str, Any], command: tuple[str, ...], status: int
) -> None:
    settings = project.folder / "edgeloop.toml"
    before = settings.read_text()
    settings.write_text(before.replace("[run]\n", "[run]\nmemory_mb = 256\n"))
    (project.folder / "hungry.py").write_text(HUNGRY)
    try:
        done = project.call(command[0], "--json", *command[1:])
    finally:
        settings.write_text(before)
    assert done.returncode == status, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["message"].startswith("The task reached its memory limit of 256 MiB"), error
    assert "memory_mb" in error["hint"]
