"""The installed `edgeloop` command against a state folder of its own, as a user would call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from end_to_end.waiting import until

_SUBCOMMANDS = frozenset(
    (
        *("virtual", "stop", "forget", "export", "snapshot", "new", "list", "revoke", "add", "remove"),
        *("show", "compare", "watch", "continue", "skip", "replace", "dump", "abort"),
    )
)
COMMAND = Path(sys.executable).with_name("edgeloop")


@dataclass(frozen=True)
class CommandLine:
    """Calls of `edgeloop` by one user: `home` is the state folder, `folder` where the user stands."""

    home: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    command: Path = COMMAND

    def within(self, folder: Path) -> CommandLine:
        """Return the same user in another folder."""
        return replace(self, folder=folder)

    def call(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its end."""
        environment = {**os.environ, **self.variables, "EDGELOOP_HOME": str(self.home), "COLUMNS": "80"}
        return subprocess.run(
            [str(self.command), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def start(
        self, *arguments: str, output: int = subprocess.DEVNULL, errors: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a command; `output` and `errors` say where what it prints goes."""
        return subprocess.Popen(
            [str(self.command), *arguments],
            cwd=self.folder,
            env={**os.environ, **self.variables, "EDGELOOP_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )

    def wait_for_run(self, state: str, seconds: float = 60) -> dict[str, Any]:
        """Return the newest run once it is in a state."""

        def newest() -> dict[str, Any] | None:
            runs: list[dict[str, Any]] = self.api("/runs?limit=1")["items"]
            return next((run for run in runs if run["state"] == state), None)

        return until(newest, f"a run is {state}", seconds)

    def run(self, *arguments: str, timeout: float = 90) -> str:
        """Run a command that must succeed; return its standard output."""
        done = self.call(*arguments, timeout=timeout)
        assert done.returncode == 0, f"edgeloop {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, timeout: float = 90) -> Any:
        """Run a command with `--json` that must succeed; return its value."""
        return json.loads(self.run(arguments[0], *_with_json(arguments[1:]), timeout=timeout))

    def fail(self, *arguments: str, timeout: float = 90) -> dict[str, Any]:
        """Run a command with `--json` that must fail; return the error that it printed."""
        done = self.call(arguments[0], *_with_json(arguments[1:]), timeout=timeout)
        assert done.returncode == 1, f"edgeloop {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        error: dict[str, Any] = json.loads(done.stdout)["error"]
        return error

    def api(self, path: str, body: Any = None) -> Any:
        """Return the answer of the running daemon's API to `GET path`, or to `POST path` if there is a body."""
        runtime = json.loads((self.home / "runtime.json").read_text())
        request = urllib.request.Request(
            f"http://127.0.0.1:{runtime['port']}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {runtime['token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            text = response.read()
            return json.loads(text) if text else None


def _with_json(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Put `--json` where it reaches edgeloop: behind the name of a subcommand, before a script's own arguments."""
    at = 1 if _SUBCOMMANDS.intersection(arguments[:1]) else 0
    return (*arguments[:at], "--json", *arguments[at:])
