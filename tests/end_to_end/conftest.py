"""A real daemon with a real virtual device, both of this test session alone and on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A user whose daemon runs; it is stopped at the end."""
    line = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("user"))
    line.run("up", "--device-host", "127.0.0.1")
    yield line
    line.run("down", "--stop-jobs")


@pytest.fixture(scope="session")
def workspace(user: CommandLine) -> CommandLine:
    """The user in an empty workspace."""
    user.run("init", "project", "--template", "empty")
    return user.within(user.folder / "project")


@pytest.fixture(scope="session")
def device(user: CommandLine) -> dict[str, Any]:
    """A virtual device, paired with the user's daemon and linked."""
    found: dict[str, Any] = user.json("device", "virtual", "--allow", "--name", "pocket")[0]
    return found


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`planted.mnn`, as `planted_model.py` makes it."""
    folder = tmp_path_factory.mktemp("planted")
    maker = Path(__file__).with_name("planted_model.py")
    done = subprocess.run([sys.executable, str(maker), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "planted.mnn"
