"""Doors: what of the local API a running job may use, with a token of its own that ends with the job.

A job may list the devices, run scripts on them, and look at, cancel and read the files of those runs, and nothing else: the token
of one job opens nothing of another job, of other runs, or of the user.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared.errors import ConflictError, EdgeloopError

Scope = Callable[[str, str], bool]
"""Says whether a request with this method and this path, below the API's prefix, is within what a token is for."""

_log = logging.getLogger(__name__)


class Tokens(Protocol):
    """Where tokens are issued; see `edgeloop_daemon.http.tokens`."""

    def issue(self, name: str, scope: Scope | None = None) -> str:
        """Make a token that opens only what `scope` says, and return its text."""

    def revoke(self, name: str) -> None:
        """Forget a token."""


@dataclass(frozen=True)
class _Door:
    folder: JobFolder
    token: str = field(repr=False)
    runs: set[str]


class JobDoors:
    """The doors of all jobs that run. `cancel_run` ends a run on a device that its job has left behind."""

    def __init__(self, tokens: Tokens, cancel_run: Callable[[str], Awaitable[object]]) -> None:
        self._tokens = tokens
        self._cancel_run = cancel_run
        self._doors: dict[str, _Door] = {}
        self._port: int | None = None

    def announce(self, port: int) -> None:
        """Tell all jobs where the API listens, and from now on every job that begins. Writes files."""
        self._port = port
        for door in list(self._doors.values()):
            self._write(door)

    def open(self, job: str, folder: JobFolder) -> None:
        """Open the door of a job that begins, or that an earlier daemon has begun. Reads and writes files."""
        runs = set(folder.runs.read_text().split()) if folder.runs.exists() else set[str]()
        token = self._tokens.issue(_token_name(job), lambda method, path: _is_within(job, runs, method, path))
        door = self._doors[job] = _Door(folder, token, runs)
        if self._port is not None:
            self._write(door)

    def folder(self, job: str) -> JobFolder:
        """Return the folder of a job that runs. Raises `ConflictError` for any other."""
        if job not in self._doors:
            raise ConflictError(f"Job {job} does not run, so nothing can run on a device for it.")
        return self._doors[job].folder

    def add_run(self, job: str, run: str) -> None:
        """Note that a run on a device is the job's. Writes a file, so that the next daemon knows it as well."""
        door = self._doors.get(job)
        if door is not None:
            door.runs.add(run)
            with door.folder.runs.open("a") as file:
                file.write(f"{run}\n")

    async def close(self, job: str) -> None:
        """Close the door of a job that has ended, and cancel its runs that have not."""
        door = self._doors.pop(job, None)
        if door is None:
            return
        self._tokens.revoke(_token_name(job))
        await asyncio.to_thread(door.folder.runtime.unlink, missing_ok=True)
        for run in door.runs:
            try:
                await self._cancel_run(run)
            except EdgeloopError as error:
                _log.warning("Run %s of the job %s, which has ended, could not be cancelled: %s", run, job, error)

    def _write(self, door: _Door) -> None:
        write_atomically(door.folder.runtime, json.dumps({"port": self._port, "token": door.token}))


def _token_name(job: str) -> str:
    return f"job {job}"  # no name that a user can give has a space


def _is_within(job: str, runs: set[str], method: str, path: str) -> bool:
    if (method, path) in (("POST", f"/jobs/{job}/runs"), ("GET", "/devices")):
        return True
    collection, _, rest = path.removeprefix("/").partition("/")
    return method in ("GET", "DELETE") and collection == "runs" and rest.split("/")[0] in runs
