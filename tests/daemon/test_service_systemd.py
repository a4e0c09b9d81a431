"""The daemon as a service of a real systemd: started, started again after a crash, stopped and forgotten."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from daemon.systemd_user import SYSTEMD, run_beside_it

pytestmark = [
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs the Debian package systemd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start a systemd of its own"),
]

LIFE = """
edgeloop service install > installed
edgeloop service status --json
edgeloop status --json
systemctl --user kill --signal=SIGKILL edgeloop.service
until edgeloop status --json | grep -q '"is_running": true'; do sleep 0.1; done
edgeloop status --json
systemctl --user restart edgeloop.service
edgeloop down --json
edgeloop service status --json
edgeloop up --json
edgeloop service status --json
edgeloop service uninstall --json
edgeloop status --json
"""


def values(text: str) -> list[Any]:
    """Return the JSON values that a text holds, one behind the other."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_systemd_starts_restarts_stops_and_forgets_the_daemon(tmp_path: Path) -> None:
    variables = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "EDGELOOP_HOME": str(tmp_path / "state"),
        "LANG": "C.UTF-8",
    }
    printed = run_beside_it(LIFE, tmp_path, variables)
    installed, first, after_a_crash, down, stopped, _, up, uninstalled, last = values(printed)

    assert (installed["is_installed"], installed["is_current"], installed["is_active"]) == (True, True, True)
    assert first["is_running"]
    assert first["is_service"]
    assert after_a_crash["pid"] != first["pid"], "what was killed is started again"
    assert down["was_running"], "even when it has only just been started"
    assert (stopped["is_active"], stopped["is_running"]) == (False, False), "and what was told to stop is not"
    assert (up["is_active"], up["is_running"]) == (True, True), "`edgeloop up` has the service started"
    assert uninstalled["was_installed"]
    assert last == {"is_running": False, "is_service": False}
    assert not (tmp_path / ".config/systemd/user/edgeloop.service").exists()
