"""A real daemon with a real virtual device, both of this test session alone and on loopback."""

from __future__ import annotations

from collections.abc import Iterator
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
