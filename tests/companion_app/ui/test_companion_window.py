"""`edgeloop companion` as a process: on a screen with a real pointer and keyboard, and where there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from end_to_end.command_line import CommandLine
from end_to_end.waiting import until

WIDTH, HEIGHT = 412, 860  # of the window as it opens
HIDDEN_KIVY = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "kivy" else find_spec(name, package)
"""


class Screen:
    """An X server of its own, and what a person does before it."""

    def __init__(self, display: str) -> None:
        self.display = display

    def xdotool(self, *arguments: str) -> str:
        """Move, press, look."""
        environment = {**os.environ, "DISPLAY": self.display}
        done = subprocess.run(["xdotool", *arguments], env=environment, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    def window(self, title: str) -> str | None:
        """Return the id of the window of that title. (`xdotool search --name` overlooks what SDL calls its windows.)"""
        windows = self.xdotool("search", "--class", "").split()
        return next((window for window in windows if self.xdotool("getwindowname", window) == title), None)

    def click(self, x: int, y: int) -> None:
        """Click there, in pixels from the top left."""
        self.xdotool("mousemove", str(x), str(y), "click", "1")


@pytest.fixture
def screen() -> Iterator[Screen]:
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("needs the Debian packages xvfb and xdotool")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as said:
            number = said.readline().strip()
        yield Screen(f":{number}")
        server.terminate()


def settings(user: CommandLine) -> Mapping[str, object]:
    """Return what is kept of the settings, nothing as long as none were changed."""
    path = user.home / "companion" / "settings.json"
    kept: Mapping[str, object] = json.loads(path.read_text())["settings"] if path.exists() else {}
    return kept


def test_the_app_is_used_by_mouse_and_keyboard_and_ends_as_asked(screen: Screen, tmp_path: Path) -> None:
    variables = {"DISPLAY": screen.display, "LIBGL_ALWAYS_SOFTWARE": "1", "SDL_VIDEODRIVER": "", "LANG": "C.UTF-8"}
    user = CommandLine(tmp_path / "home", tmp_path, variables)
    app = user.start("companion", "--name", "desk")
    try:
        until(lambda: screen.window("edgeloop companion"), "the window is open", 90)
        until(lambda: clicked_into_the_name(screen, user), "the name was typed into", 60)
        app.send_signal(signal.SIGINT)  # there is no window manager whose button could be clicked
        assert app.wait(60) == 0
    finally:
        app.kill()
        app.wait()


def clicked_into_the_name(screen: Screen, user: CommandLine) -> bool:
    """Go to the settings, which are the last place, and type a letter into the name; return whether it was taken."""
    screen.click(WIDTH - 30, HEIGHT - 30)
    screen.click(WIDTH - 60, 165)
    screen.xdotool("key", "End", "x", "Return")
    return "x" in str(settings(user).get("name", ""))  # wherever in it the click has put the cursor


def test_without_a_display_it_is_said_what_to_do(tmp_path: Path) -> None:
    nothing = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SDL_VIDEODRIVER": ""}
    done = CommandLine(tmp_path / "home", tmp_path, nothing).call("companion")
    assert done.returncode == 1
    assert "no display" in done.stderr
    assert "edgeloop device virtual" in done.stderr


def test_without_kivy_it_is_said_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN_KIVY)
    done = CommandLine(tmp_path / "home", tmp_path, {"PYTHONPATH": str(tmp_path)}).call("companion")
    assert done.returncode == 1
    assert "pip install 'edgeloop[companion]'" in re.sub(r"\s+", " ", done.stderr)


def test_two_apps_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeloop_companion", "--state", str(tmp_path / "state"), "--name", "headless"]
    offer = ["--allow", "--pair-address", "127.0.0.1:1", "--pair-code-file", "-"]
    with subprocess.Popen([*command, *offer], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as headless:
        until((tmp_path / "state" / "lock").exists, "the first one is there", 60)
        until(lambda: (tmp_path / "state" / "lock").read_text(), "the first one holds the folder", 60)
        done = CommandLine(tmp_path / "home", tmp_path).call("companion", "--state", str(tmp_path / "state"))
        headless.send_signal(signal.SIGTERM)
    assert done.returncode == 1
    assert "Another companion uses the state folder" in re.sub(r"\s+", " ", done.stderr)
