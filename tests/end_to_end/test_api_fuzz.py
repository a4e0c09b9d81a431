"""schemathesis against a real daemon: whatever fits the OpenAPI document or breaks it is answered as the document says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = os.environ.get("EDGELOOP_FUZZ_EXAMPLES")
LEFT_OUT = "/stream$|/ws$|/dap$|/shutdown$|/doctor$"
"""Streams and WebSockets do not end, a stopped daemon answers nothing, and the doctor takes seconds: each has its tests."""


@pytest.mark.timeout(3600 if EXAMPLES else 120)
def test_every_answer_is_the_one_that_the_document_tells(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "home", tmp_path / "user")
    user.folder.mkdir()
    user.run("up", "--device-host", "127.0.0.1")
    try:
        user.run("init", "project", "--template", "empty")
        if not EXAMPLES:  # else thousands of cases would start as many jobs
            user.within(user.folder / "project").run("trust", "--revoke")
        operations = documented(user)
        done = fuzz(user, tmp_path, EXAMPLES or "3")
        log = (user.home / "logs" / "daemon.log").read_text()
    finally:
        user.run("down", "--stop-jobs")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert "Traceback" not in log
    scenarios = [
        entry["ScenarioFinished"]["recorder"]
        for entry in map(json.loads, (tmp_path / "report.ndjson").read_text().splitlines())
        if "ScenarioFinished" in entry
    ]
    assert {scenario["label"] for scenario in scenarios} == operations
    assert sum(len(scenario["cases"]) for scenario in scenarios) >= 3 * len(operations)


def reach(user: CommandLine) -> tuple[str, str]:
    """Return the address of the user's daemon, and a token."""
    runtime: dict[str, Any] = json.loads((user.home / "runtime.json").read_text())
    return f"http://127.0.0.1:{runtime['port']}", runtime["token"]


def documented(user: CommandLine) -> set[str]:
    """Return the operations of the daemon's own document that are to be tested."""
    base, token = reach(user)
    request = urllib.request.Request(f"{base}/api/v1/openapi.json", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as response:
        paths = json.load(response)["paths"]
    return {
        f"{method.upper()} {path}" for path, item in paths.items() if not re.search(LEFT_OUT, path) for method in item
    }


def fuzz(user: CommandLine, folder: Path, examples: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against the user's daemon."""
    base, token = reach(user)
    command = [str(SCHEMATHESIS), "--config-file", str(HERE / "schemathesis.toml"), "--no-color", "run"]
    options = {
        "--url": base,
        "--header": f"Authorization: Bearer {token}",
        "--exclude-path-regex": LEFT_OUT,
        "--max-examples": examples,
        "--phases": "coverage,fuzzing" if EXAMPLES else "fuzzing",
        "--report-ndjson-path": str(folder / "report.ndjson"),
    }
    arguments = [part for option in options.items() for part in option]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(HERE),
        "EDGELOOP_FUZZ_FOLDER": str(folder),
    }
    return subprocess.run(
        [*command, f"{base}/api/v1/openapi.json", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3500,
    )
