"""A plugin that has passed its trial is tried again when something has changed, or when the daemon has died of loading it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon.plugins.conftest import NewPlugin

from edgeloop_daemon.passed_trials import PassedTrials
from edgeloop_daemon.plugins import load_plugins

CRASHING_LATER = """
import ctypes, pathlib
if pathlib.Path({flag!r}).exists():
    ctypes.string_at(0)
"""


@pytest.fixture
def load(
    new_plugin: NewPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Callable[[], tuple[list[str], bool]]:
    """Return a function that loads a plugin with a helper module: its state and remarks, and whether it was tried."""
    entry = new_plugin("helped", "import helper_of_passed")
    helper = tmp_path / "packages" / "helper_of_passed.py"
    helper.write_text("print('loud')\n")
    (helper.parent / "__pycache__").mkdir()

    def loaded() -> tuple[list[str], bool]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            (info,) = load_plugins([entry], passed=PassedTrials(tmp_path / "passed.json")).listed()
        return [info.state, *info.remarks], "Trying the plugin" in caplog.text

    return loaded


def test_a_plugin_that_is_as_it_was_is_not_tried_again(load: Callable[[], tuple[list[str], bool]]) -> None:
    verdict = ["loaded", "It prints 5 bytes while it is imported."]

    assert load() == (verdict, True)
    assert load() == (verdict, False)
    assert load() == (verdict, False)


@pytest.mark.parametrize("change", ["edited", "touched", "shadowed", "another edgeloop", "damaged", "lost"])
def test_a_plugin_is_tried_again_when_something_has_changed(
    load: Callable[[], tuple[list[str], bool]], tmp_path: Path, change: str
) -> None:
    load()
    helper, kept = tmp_path / "packages" / "helper_of_passed.py", tmp_path / "passed.json"
    match change:
        case "edited":
            helper.write_text("print('not so')\n")
        case "touched":
            os.utime(helper, (1, 1))
        case "shadowed":
            (helper.parent / "another_module.py").write_text("")
        case "another edgeloop":
            kept.write_text(kept.read_text().replace('"edgeloop": "', '"edgeloop": "9'))
        case "damaged":
            kept.write_text('{"helped = ')
        case _:
            kept.unlink()

    assert load()[1]
    assert not load()[1]


def test_a_plugin_that_failed_is_tried_at_every_start(
    new_plugin: NewPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = new_plugin("bad", "1 / 0")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            load_plugins([entry], passed=PassedTrials(tmp_path / "passed.json"))
        assert "Trying the plugin bad" in caplog.text
    assert not (tmp_path / "passed.json").exists()


def test_verdicts_that_cannot_be_kept_keep_nobody_from_starting(
    new_plugin: NewPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = load_plugins([new_plugin("good", "")], passed=PassedTrials(tmp_path / "no such folder" / "passed.json"))

    assert [plugin.state for plugin in plugins.listed()] == ["loaded"]
    assert "All plugins will be tried again" in caplog.text


def test_a_daemon_that_dies_of_a_plugin_that_had_passed_leaves_it_out_the_next_time(tmp_path: Path) -> None:
    site, flag, home = tmp_path / "site", tmp_path / "flag", tmp_path / "home"
    (site / "late-1.0.dist-info").mkdir(parents=True)
    (site / "late-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (site / "late-1.0.dist-info" / "entry_points.txt").write_text("[edgeloop]\nlate = late_plugin\n")
    (site / "late_plugin.py").write_text(CRASHING_LATER.format(flag=str(flag)))

    def start() -> tuple[int, str]:
        command = [sys.executable, "-P", "-m", "edgeloop_daemon", "--home", str(home), "--write-declarations"]
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
        status = subprocess.run(command, env=environment, capture_output=True, check=False).returncode
        return status, (home / "logs" / "daemon.log").read_text()

    assert start()[0] == 0
    assert json.loads((home / "passed-trials.json").read_text()).keys() == {"late = late_plugin"}
    flag.touch()  # nothing that the verdict depends on
    assert start()[0] == -signal.SIGSEGV
    status, log = start()

    assert status == 0
    assert "The plugin late from late_plugin is left out: Importing late_plugin crashed natively (SIGSEGV)" in log
    assert log.count("Trying the plugin late") == 2
