"""A real editor, Debian's Kate, debugs a task on a virtual device under Xvfb: `make test-editors`.

It is driven by its keys and its toolbar as by a user. Screenshots go to `EDGELOOP_SCREENSHOTS`, where that is set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine
from end_to_end.editor import TASK

from edgeloop_daemon.cli.editor_configurations import configuration_of

pytestmark = [pytest.mark.editors, pytest.mark.timeout(300)]
DISPLAY = ":78"
WIDTH, HEIGHT = 1280, 900
SECONDS = 60.0
CURSOR_PIXELS = 100  # which the text cursor changes when it blinks
LINE = 6
SESSION = """\
[Kate Plugins]
kategdbplugin=true
kateprojectplugin=false
katekonsoleplugin=false
lspclientplugin=false

[Open MainWindows]
Count=1

[MainWindow0]
{width}x{height} screen: Height={height}
{width}x{height} screen: Width={width}
Kate-MDI-H-Splitter=0,800,430
Kate-MDI-V-Splitter=0,609,200
Kate-MDI-Sidebar-1-Bar-0-TvList=Locals and Stack
Kate-MDI-Sidebar-1-LastSize=430
Kate-MDI-Sidebar-1-Splitter=820
Kate-MDI-Sidebar-3-Bar-0-TvList=output,kate_plugin_katesearch,Debug View
Kate-MDI-Sidebar-3-LastSize=200
Kate-MDI-Sidebar-Visible=true
Kate-MDI-ToolView-Debug View-Position=3
Kate-MDI-ToolView-Debug View-Visible=true
Kate-MDI-ToolView-Locals and Stack-Position=1
Kate-MDI-ToolView-Locals and Stack-Visible=true

[Plugin:kategdbplugin:MainWindow:0]
lastTarget=0
targetCount=1
target_0={target}
version=5
"""


class Kate:
    """A Kate that shows one file, and has the whole screen."""

    def key(self, name: str) -> None:
        _xdotool("key", name)

    def click(self, x: int, y: int) -> None:
        _xdotool("mousemove", str(x), str(y), "click", "1")

    def screenshot(self, name: str, folder: Path) -> Path:
        path = folder / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], env=_environment(), check=True, timeout=30)
        return path

    def at_rest(self, name: str, folder: Path, *, unlike: Path | None = None) -> Path:
        """Return a screenshot once Kate has drawn itself: it does not change any more, and does not look `unlike` something.

        Kate tells nobody when it has drawn, but what is drawn can be seen.
        """
        before = self.screenshot(name, folder)

        def rests() -> bool:
            nonlocal before
            last, before = before.rename(folder / f"{name}-before.png"), self.screenshot(name, folder)
            return _differing(last, before) < CURSOR_PIXELS and (
                unlike is None or _differing(unlike, before) >= CURSOR_PIXELS
            )

        eventually(f"Kate rests: {name}", rests)
        (folder / f"{name}-before.png").unlink()
        return before


def _environment() -> dict[str, str]:
    return {**os.environ, "DISPLAY": DISPLAY}


def _differing(one: Path, other: Path) -> float:
    """Return how many pixels of two screenshots differ."""
    done = subprocess.run(
        ["compare", "-metric", "AE", str(one), str(other), "null:"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode in (0, 1), done.stderr
    return float(done.stderr.split()[0])


def _xdotool(*arguments: str) -> str:
    done = subprocess.run(
        ["xdotool", *arguments], env=_environment(), capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip()


def eventually(what: str, find: Callable[[], Any]) -> Any:
    """Return what `find` finds, once it finds something."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(LookupError):
            if found := find():
                return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {SECONDS:g} s")


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("EDGELOOP_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def kate(workspace: CommandLine, device: dict[str, Any], tmp_path: Path) -> Iterator[Kate]:
    """Kate with the debugger of the workspace's `task.py` set up, as `edgeloop debug --config kate` says."""
    assert shutil.which("kate"), "make test-editors installs it"
    script = workspace.folder / "task.py"
    script.write_text(TASK)
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    profile = home / ".config" / "kate" / "gdbplugin" / "dap.json"
    profile.parent.mkdir(parents=True)
    profile.write_text(configuration_of("kate").partition("\n")[2])
    target = {
        "target": "task",
        "file": str(script),
        "workdir": str(workspace.folder),
        "debuggerKey": "edgeloop",
        "debuggerProfile": "debug this file on a device",
        "variables": {"file": str(script)},
    }
    session = home / ".local" / "share" / "kate" / "sessions" / "test.katesession"
    session.parent.mkdir(parents=True)
    session.write_text(SESSION.format(width=WIDTH, height=HEIGHT, target=json.dumps(target)))
    environment = {
        "PATH": f"{workspace.command.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "LANG": "C.UTF-8",
        "DISPLAY": DISPLAY,
        "EDGELOOP_HOME": str(workspace.home),
    }
    screen = subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", f"{WIDTH}x{HEIGHT}x24"], stderr=subprocess.DEVNULL)
    try:
        eventually("a screen", lambda: Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists())
        command = ["dbus-run-session", "--", "kate", "--block", "--start", "test", str(script)]
        with (tmp_path / "kate.log").open("wb") as log:
            running = subprocess.Popen(command, env=environment, cwd=workspace.folder, stdout=log, stderr=log)
        try:
            window = eventually("Kate's window", lambda: _xdotool("search", "--name", "task.py").split()[-1:])[0]
            _xdotool("windowmove", window, "0", "0", "windowsize", window, str(WIDTH), str(HEIGHT))
            yield Kate()
        finally:
            _xdotool("windowkill", _xdotool("search", "--name", "task.py").split("\n")[-1])
            running.terminate()
            running.wait(30)
    finally:
        screen.terminate()
        screen.wait(30)


def test_kate_sets_a_breakpoint_hits_it_looks_and_goes_on(
    kate: Kate, workspace: CommandLine, screenshots: Path
) -> None:
    def session(state: str) -> Any:
        kate.screenshot("now", screenshots)  # what is left when the time is over shows why
        newest = workspace.api("/debug/sessions")["items"][0]
        return newest if newest["state"] == state else None

    begun = kate.at_rest("0-begun", screenshots)
    kate.click(400, 113)
    kate.key("ctrl+F7")
    eventually("the session", lambda: session("waiting"))
    waiting = kate.at_rest("1-waiting", screenshots, unlike=begun)
    kate.key("ctrl+Home")
    for _ in range(LINE - 1):
        kate.key("Down")
    kate.key("shift+F11")
    broken = kate.at_rest("2-breakpoint", screenshots, unlike=waiting)
    _continue(kate)
    paused = eventually("the stop", lambda: session("paused") and (session("paused") or {}).get("pause"))
    stopped = kate.at_rest("3-paused", screenshots, unlike=broken)

    assert (paused["file"], paused["line"], paused["reason"]) == ("task.py", LINE, "breakpoint")
    assert session("paused")["has_editor"]

    _continue(kate)
    ended = eventually("the end", lambda: session("ended"))
    kate.at_rest("4-ended", screenshots, unlike=stopped)
    assert ended["error"] is None
    log = workspace.api(f"/runs/{ended['run']}/log")["items"]
    assert "mean 11.090909" in [line["text"][:14] for line in log]


def _continue(kate: Kate) -> None:
    """Press the toolbar's button: the key for it means `start` as well, and Kate then asks which."""
    kate.click(912, 38)
