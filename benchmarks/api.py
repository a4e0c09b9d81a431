"""What a request to the local API takes, beside a bare aiohttp handler that returns the same bytes.

Both servers are processes of their own and are asked by the same client over a connection that stays open.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon_parts import Daemon, running_daemon
from figures import Figure, interleaved, percentile, publish, ratio

from edgeloop_daemon.cli.client import PREFIX

BAR = 2.0
ROUNDS = 21
REQUESTS = 100  # a round
JOBS = 6


class Asker:
    """Asks one server for one path, again and again."""

    def __init__(self, port: int, path: str, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._path = path
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self) -> bytes:
        """Return one answer's body."""
        self._connection.request("GET", self._path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body

    def median(self) -> float:
        """Return the median microseconds of some requests."""
        taken = []
        for _ in range(REQUESTS):
            begin = time.perf_counter_ns()
            self.ask()
            taken.append((time.perf_counter_ns() - begin) / 1000)
        return percentile(taken, 50)


@contextmanager
def bare_server(body: bytes) -> Iterator[int]:
    """Run the peer for the block and yield its port."""
    command = [sys.executable, str(Path(__file__).with_name("api_parts.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(body)
        process.stdin.close()
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def add_jobs(daemon: Daemon) -> None:
    """Run some jobs, which fail quickly, for lack of a model: rows for a list."""
    path = f"/workspaces/{daemon.workspace}/tools/inspect"
    for job in [daemon.client.post(path, {"model": "none.mnn"})["id"] for _ in range(JOBS)]:
        for _text in daemon.client.job_log(job, follow=True):
            pass


def measure() -> list[Figure]:
    """Return a figure per path."""
    figures = []
    with running_daemon() as daemon:
        add_jobs(daemon)
        runtime = json.loads(daemon.client.folders.runtime.read_text())
        for path in ("/status", "/jobs"):
            ours = Asker(runtime["port"], PREFIX + path, runtime["token"])
            body = ours.ask()
            with bare_server(body) as port:
                peer = Asker(port, PREFIX + path, runtime["token"])
                assert peer.ask() == body
                taken = interleaved(ROUNDS, {"ours": ours.median, "peer": peer.median}, warm_up=2)
            figure = ratio(f"GET {path}, p50", BAR, taken["ours"], taken["peer"], unit="us")
            figures.append(figure)
    return figures


if __name__ == "__main__":
    publish("api", measure)
