"""The virtual device takes no short cut: as another user in another network it pairs, runs and reports as it does here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import COMMAND, CommandLine
from security.elsewhere import NOBODY, SOURCE, Elsewhere, another_computer, running, told

SCRIPT = """
import errno, os, socket
from pathlib import Path

import numpy as np

import edgeloop_task

def told(look, *arguments):
    try:
        return str(look(*arguments))
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)

def connect(address, port):
    socket.create_connection((address, port), timeout=3).close()
    return "connected"

model = edgeloop_task.load_model("network.mnn")
scores = np.stack([model(np.full((1, 3, 8, 8), step, np.float32)).ravel() for step in range(4)])
np.savez_compressed("predictions.npz", scores=scores)
edgeloop_task.report_file("predictions.npz")
edgeloop_task.report_metric("rows", float(len(scores)))
print("scores", scores.shape)
edgeloop_task.report_result(
    user=os.getuid(),
    groups=os.getgroups(),
    variables=sorted(name for name in os.environ if name.startswith("EDGELOOP")),
    secrets={{path: told(Path(path).read_bytes) for path in {secrets!r}}},
    folders={{path: told(os.listdir, path) for path in {folders!r}}},
    ports={{f"{{address}} {{port}}": told(connect, address, port) for address, port in {ports!r}}},
)
"""


@dataclass
class Secrets:
    """What nobody else may ever see, as it becomes known."""

    known: dict[str, str] = field(default_factory=dict)

    def found_in(self, text: str) -> list[str]:
        return [name for name, value in self.known.items() if value in text]


@dataclass(frozen=True)
class Scene:
    """A daemon with a workspace on this computer, and another computer beside it."""

    user: CommandLine
    elsewhere: Elsewhere

    @property
    def runtime(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.user.home / "runtime.json").read_text())
        return content

    def get(self, path: str) -> Any:
        """Ask the local API as an editor does."""
        headers = {"Authorization": f"Bearer {self.runtime['token']}"}
        url = f"http://127.0.0.1:{self.runtime['port']}/api/v1{path}"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    tmp_path = tmp_path_factory.mktemp("here")
    with another_computer() as elsewhere:
        # In a folder that everybody may enter: it is the daemon itself that closes its state.
        user = CommandLine(elsewhere.stage / "state", tmp_path)
        user.run("up", "--device-host", elsewhere.our_address)
        try:
            user.run("init", "project", "--template", "empty")
            workspace = tmp_path / "project"
            maker = SOURCE / "tests" / "companion_app" / "task_models.py"
            subprocess.run([sys.executable, str(maker), str(workspace)], cwd=workspace, check=True, capture_output=True)
            yield Scene(user.within(workspace), elsewhere)
        finally:
            user.run("down", "--stop-jobs")


def command_lines() -> str:
    """What every user sees of all processes."""
    return "\n".join(
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.exists()
    )


def pair_as_a_person(scene: Scene, secrets: Secrets, phone: str) -> tuple[list[str], subprocess.Popen[str]]:
    """Show a code with `edgeloop pair` and type it there; return how the device is started, and the command that waits."""
    environment = {"EDGELOOP_HOME": str(scene.user.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    showing = subprocess.Popen([str(COMMAND), "pair"], env=environment, stdout=subprocess.PIPE, text=True)
    assert showing.stdout is not None
    address = code = ""
    for line in showing.stdout:
        if found := re.match(r"  address  (\S+)", line):
            address = found[1]
        if found := re.match(r"  code     (\S+)", line):
            code = found[1]
            break
    secrets.known |= {"code": code.replace("-", ""), "shown code": code}
    secrets.known["offer"] = scene.get("/pairing")["offer"]
    typed = scene.elsewhere.hand_over("code", code.lower() + "\n")
    options = ("--pair-address", address, "--pair-code-file", str(typed))
    state = ("--state", str(scene.elsewhere.home / phone), "--name", "pocket", "--virtual", "--allow")
    return scene.elsewhere.python("-P", "-m", "edgeloop_companion", *state, *options), showing


def test_a_device_of_another_user_in_another_network_does_its_work_and_sees_nothing_else(
    scene: Scene, tmp_path: Path
) -> None:
    runtime, state, secrets = scene.runtime, scene.user.home, Secrets()
    secrets.known["token"] = runtime["token"]
    line, showing = pair_as_a_person(scene, secrets, "phone")
    log = tmp_path / "companion.log"
    with running(line, log) as companion:
        assert told(companion, "paired")["host"]
        assert told(companion, "linked")["address"] == scene.elsewhere.our_address
        output, _ = showing.communicate(timeout=30)
        assert "Paired: pocket" in output
        pairings = json.loads((scene.elsewhere.home / "phone" / "pairings.json").read_text())
        secrets.known["device key"] = pairings["pairings"][0]["device_key"]
        assert secrets.found_in(command_lines()) == []

        closed_files = [state / name for name in ("runtime.json", "edgeloop.db", "device-port.key")]
        processes = [Path("/proc") / str(runtime["pid"]) / name for name in ("environ", "mem")]
        ports = [(address, runtime["port"]) for address in ("127.0.0.1", scene.elsewhere.our_address, "::1")]
        script = SCRIPT.format(
            secrets=[str(path) for path in (*closed_files, *processes)],
            folders=[str(state), str(state / "blobs"), f"/proc/{runtime['pid']}/fd", str(scene.user.folder)],
            ports=[*ports, (scene.elsewhere.our_address, scene.get("/status")["device_port"])],
        )
        (scene.user.folder / "work.py").write_text(script)
        options = ("--trace", "--include", "network.mnn", "--output", str(tmp_path / "out"))
        run = scene.user.json("run", *options, "work.py")
        result = run["result"]

    # It did its work: numbers, a file, a trace.
    assert run["state"] == "succeeded"
    assert (tmp_path / "out" / "predictions.npz").read_bytes()[:2] == b"PK"
    trace = scene.get(f"/runs/{run['id']}/trace")
    assert any(event.get("cat") == "Convolution" or "onv" in event["name"] for event in trace["traceEvents"])
    # It was another user, who may read nothing of the daemon and reach nothing but the device port.
    assert (result["user"], result["groups"], result["variables"]) == (NOBODY, [], [])
    assert set(result["secrets"].values()) | set(result["folders"].values()) == {"EACCES"}
    reached = dict(result["ports"])
    assert reached.pop(f"{scene.elsewhere.our_address} {scene.get('/status')['device_port']}") == "connected"
    assert len(reached) == 3
    assert "connected" not in reached.values()
    # And nobody's secret stands where others look.
    written = log.read_text() + "".join(path.read_text(errors="replace") for path in (state / "logs").iterdir())
    assert secrets.found_in(written) == []
    assert secrets.found_in(json.dumps(scene.get("/devices")) + json.dumps(run)) == []
    scene.user.run("device", "forget", "pocket")


def test_unpairing_ends_a_device_elsewhere_and_its_key_is_forgotten_on_both_sides(scene: Scene, tmp_path: Path) -> None:
    secrets = Secrets()
    line, showing = pair_as_a_person(scene, secrets, "other")
    with running(line, tmp_path / "companion.log") as companion:
        told(companion, "linked")
        showing.communicate(timeout=30)
        scene.user.run("device", "forget", "pocket")
        assert told(companion, "unpaired")
    assert not (scene.elsewhere.home / "other" / "pairings.json").exists()
    assert scene.get("/devices")["items"] == []
