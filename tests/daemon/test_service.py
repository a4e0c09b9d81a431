"""The daemon as a service: the files are what systemd and launchd read, and the commands tell systemd what is needed."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeloop_daemon.cli.service import Service
from edgeloop_daemon.service_files import launchd_plist, systemd_unit
from edgeloop_daemon.store.folders import Folders

HOSTILE = 'a "quoted" %h $HOME back\\slash'
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs the Debian package systemd")


def edgeloop(home: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, "-m", "edgeloop_daemon.cli", *arguments],
        env={**variables, "HOME": str(home), "EDGELOOP_HOME": str(home / "state"), "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )


@needs_systemd
@pytest.mark.parametrize("name", ["state", HOSTILE])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, name: str) -> None:
    unit = tmp_path / "edgeloop.service"
    command = [sys.executable, "-P", "-m", "edgeloop_daemon", "--home", str(tmp_path / name)]
    unit.write_text(systemd_unit(Folders(tmp_path / name), command, os.environ["PATH"]))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    about_it = [line for line in done.stderr.splitlines() if "edgeloop.service" in line]
    assert (done.returncode, about_it) == (0, [])


@needs_systemd
def test_systemd_would_find_a_wrong_unit(tmp_path: Path) -> None:
    unit = tmp_path / "edgeloop.service"
    unit.write_text(systemd_unit(Folders(tmp_path), ["/no/such/python"], "/bin").replace("KillMode", "KillMood"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "KillMood" in done.stderr
    assert "/no/such/python" in done.stderr


def test_the_unit_leaves_jobs_alone_and_restarts_what_failed(tmp_path: Path) -> None:
    lines = systemd_unit(Folders(tmp_path), ["/bin/python"], "/bin").splitlines()
    assert "KillMode=process" in lines
    assert "Restart=on-failure" in lines


def test_the_plist_says_what_launchd_is_to_run(tmp_path: Path) -> None:
    folders = Folders(tmp_path / HOSTILE)
    command = ["/usr/bin/python3", "-m", "edgeloop_daemon", "--home", str(folders.root)]
    read = plistlib.loads(launchd_plist(folders, command, "/usr/bin"))
    assert read["ProgramArguments"] == command
    assert read["EnvironmentVariables"] == {"EDGELOOP_HOME": str(folders.root), "PATH": "/usr/bin"}
    assert read["AbandonProcessGroup"] is True, "jobs go on"
    assert read["KeepAlive"] == {"SuccessfulExit": False}


def test_on_macos_the_file_is_a_launch_agent(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "state")
    service = Service(folders, ["/usr/bin/true"], {"HOME": str(tmp_path), "PATH": ""}, platform="darwin")
    service.write()
    assert service.file == tmp_path / "Library/LaunchAgents/dev.edgeloop.daemon.plist"
    assert plistlib.loads(service.file.read_bytes())["ProgramArguments"] == ["/usr/bin/true"]
    assert service.is_installed()
    assert not service.is_reachable()
    assert "launchctl bootstrap" in service.by_hand()


def test_printing_changes_nothing(tmp_path: Path) -> None:
    done = edgeloop(tmp_path, "service", "install", "--print")
    assert done.returncode == 0, done.stderr
    assert f'"{tmp_path / "state"}"' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_systemd_the_file_is_written_and_the_rest_is_told(tmp_path: Path) -> None:
    done = edgeloop(tmp_path, "service", "install", path=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "systemctl --user daemon-reload && systemctl --user enable --now edgeloop.service" in done.stdout
    assert "enable-linger" in done.stdout
    file = tmp_path / ".config/systemd/user/edgeloop.service"
    assert file.exists()
    shown = json.loads(edgeloop(tmp_path, "service", "status", "--json", path=str(tmp_path)).stdout)
    assert (shown["is_installed"], shown["is_current"], shown["is_active"]) == (True, True, False)
    assert "next login" in edgeloop(tmp_path, "down", path=str(tmp_path)).stdout
    done = edgeloop(tmp_path, "service", "uninstall", path=str(tmp_path))
    assert f"Removed {file}." in done.stdout
    assert not file.exists()
    assert "No service was installed." in edgeloop(tmp_path, "service", "uninstall", path=str(tmp_path)).stdout


def test_a_running_daemon_is_handed_over_to_systemd(tmp_path: Path) -> None:
    """The manager is a script that does what systemd would: it runs ExecStart of the unit, and says whether that lives."""
    tools = tmp_path / "tools"
    tools.mkdir()
    manager = tools / "systemctl"
    unit = tmp_path / ".config/systemd/user/edgeloop.service"
    manager.write_text(
        f"""#!/bin/sh
echo "$@" >> {tools}/calls
case "$2" in
  enable|start) (exec >/dev/null 2>&1; eval "exec $(sed -n s/^ExecStart=//p {unit})") & echo $! > {tools}/pid ;;
  is-active) test -e {tools}/pid ;;
  disable) kill $(cat {tools}/pid); rm {tools}/pid ;;
esac
"""
    )
    manager.chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    first = json.loads(edgeloop(tmp_path, "up", "--json", path=path).stdout)
    try:
        done = edgeloop(tmp_path, "service", "install", path=path)
        assert "starts at every login" in done.stdout, done.stderr
        second = json.loads(edgeloop(tmp_path, "status", "--json", path=path).stdout)
        assert second["is_service"] is True
        assert second["pid"] != first["pid"]
        assert "systemd runs the daemon." in edgeloop(tmp_path, "service", "status", path=path).stdout
        assert (tools / "calls").read_text().splitlines()[:4] == [
            "--user show-environment",
            "--user is-active --quiet edgeloop.service",
            "--user daemon-reload",
            "--user enable --now edgeloop.service",
        ]
    finally:
        edgeloop(tmp_path, "down", "--stop-jobs", path=path)
