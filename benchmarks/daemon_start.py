"""How long the daemon takes from its start to its first answer, beside `python -c "import aiohttp"`, and what it keeps in memory.

Each start is a new process on a state folder of an earlier daemon, as after a restart of the machine; the disk cache is warm and
bytecode is cached for both, as it is once a package was used. Memory is the proportional set size after the first answers, while
nothing happens.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, interleaved, keeping_bytecode, publish, ratio, spread

from edgeloop_daemon.cli.client import PREFIX
from edgeloop_daemon.cli.daemon_process import daemon_command
from edgeloop_daemon.store.folders import Folders

ROUNDS = 11
START_BAR = 3.0
MEMORY_BAR = 90.0  # MiB
SETTLE_SECONDS = 2.0
POLL_SECONDS = 0.002


def measure() -> list[Figure]:
    """Return both figures."""
    with tempfile.TemporaryDirectory() as home:
        folders = Folders(Path(home) / "state")
        folders.create()
        variables = keeping_bytecode(Path(home) / "bytecode")
        command = daemon_command(folders, ["--device-host", "127.0.0.1"])
        memory: list[float] = []

        def start() -> float:
            begin = time.perf_counter()
            with subprocess.Popen(command, env=variables) as process:
                try:
                    token, port = first_answer(folders, process)
                    taken = time.perf_counter() - begin
                    if len(memory) < 5:
                        ask(port, token, "/jobs")
                        ask(port, token, "/devices")
                        time.sleep(SETTLE_SECONDS)
                        memory.append(proportional_set(process.pid))
                finally:
                    process.terminate()
            return taken * 1e3

        def bare() -> float:
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import aiohttp"], env=variables, check=True)
            return (time.perf_counter() - begin) * 1e3

        taken = interleaved(ROUNDS, {"ours": start, "peer": bare})
    return [
        ratio("start to first answer / import aiohttp", START_BAR, taken["ours"], taken["peer"], unit="ms"),
        Figure("idle memory (PSS)", max(memory), MEMORY_BAR, unit="MiB", spread=spread(memory)),
    ]


def first_answer(folders: Folders, process: subprocess.Popen[bytes]) -> tuple[str, int]:
    """Wait until the daemon answers; return its token and port."""
    while True:
        assert process.poll() is None, "the daemon did not start"
        try:
            runtime = json.loads(folders.runtime.read_text())
            if runtime["pid"] == process.pid:
                ask(runtime["port"], runtime["token"], "/status")
                return runtime["token"], runtime["port"]
        except (FileNotFoundError, ConnectionError):
            pass
        time.sleep(POLL_SECONDS)


def ask(port: int, token: str, path: str) -> None:
    """Send a request that must succeed."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", PREFIX + path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200, body


def proportional_set(pid: int) -> float:
    """Return the process's proportional set size in MiB: its own pages, and its share of those that others use as well."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kib,) = (int(text.split()[1]) for text in lines if text.startswith("Pss:"))
    return kib / 1024


if __name__ == "__main__":
    publish("daemon_start", measure)
