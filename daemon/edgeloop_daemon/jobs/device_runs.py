"""Runs on devices that a job starts, as the job process sees them: through the local API with the job's own token."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from edgeloop.context import DeviceRun
from edgeloop_daemon.cli.client import POLL_SECONDS, Client, Record
from edgeloop_daemon.devices.bundles import job_path
from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import (
    DaemonUnreachableError,
    EdgeloopError,
    InvalidInputError,
    TooLargeError,
    error_from_dict,
)
from edgeloop_shared.models import RunState

PATIENCE_SECONDS = 60.0  # for a daemon that is being started again
MAX_FILES_BYTES = 1024**3  # of one run
T = TypeVar("T")


class DeviceRuns:
    """Runs scripts on devices for one job. Calls from several threads go on connections of their own."""

    def __init__(self, folder: JobFolder, job: str, workspace: Path) -> None:
        self._folder = folder
        self._job = job
        self._workspace = workspace

    def device_path(self, path: Path) -> str:
        """Return where a file of the workspace or of the job's folder lies on a device, relative to the run's folder."""
        place, kind = self._place(path)
        return job_path(place) if kind == "job_files" else place

    def run(
        self,
        script: Path,
        arguments: Sequence[str],
        *,
        files: Sequence[Path],
        like: tuple[str, Sequence[str]] | None,
        device: str | None,
        on_line: Callable[[str], None],
    ) -> DeviceRun:
        """Run a script and return how it ended well; see `edgeloop.JobContext.run_on_device`."""
        listed: dict[str, list[str]] = {"files": [], "job_files": []}
        for path in dict.fromkeys((script, *files)):
            place, kind = self._place(path)
            listed[kind].append(place)
        body = {
            "script": self.device_path(script),
            "arguments": list(arguments),
            **listed,
            "like": None if like is None else like[0],
            "like_arguments": [] if like is None else list(like[1]),
            "device": device,
        }
        client = Client(Folders(self._folder.root))
        try:
            run = _patiently(lambda: client.start(f"/jobs/{self._job}/runs", body))
            return self._followed(client, str(run["id"]), on_line)
        finally:
            client.close()

    def _followed(self, client: Client, run_id: str, on_line: Callable[[str], None]) -> DeviceRun:
        offset, ended = 0, False
        while not ended:
            page = _patiently(partial(client.get, f"/runs/{run_id}/log", offset=offset, wait=POLL_SECONDS))
            for item in page["items"]:
                on_line(item["text"])
            offset, ended = page["next_offset"], page["ended"]
            if not page["items"] and not ended:  # a device that was lost leaves the log open: it may come back
                run = _patiently(lambda: client.get(f"/runs/{run_id}"))
                ended = RunState(run["state"]).is_terminal
        run = _patiently(lambda: client.get(f"/runs/{run_id}", wait=30))
        if run["state"] != "succeeded":
            raise _error_of(run)
        files = self._downloaded(client, run)
        devices = _patiently(lambda: client.items("/devices"))
        sent = (run["transfer"] or {}).get("total", 0)
        return DeviceRun(
            id=run_id,
            device=str(run["device"]),
            device_name=next((one["info"]["name"] for one in devices if one["id"] == run["device"]), ""),
            result=run["result"],
            files=files,
            sent_bytes=int(sent),
            received_bytes=sum(path.stat().st_size for path in files.values()),
        )

    def _downloaded(self, client: Client, run: Record) -> Mapping[str, Path]:
        size = sum(int(file["size"]) for file in run["files"])
        if size > MAX_FILES_BYTES:
            raise TooLargeError(
                f"Run {run['id']} reported {size} bytes of files.",
                hint="Report less.",
                details={"limit": MAX_FILES_BYTES, "size": size},
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(file["is_received"] for file in run["files"]) and time.monotonic() < deadline:
            time.sleep(0.02)
            run = _patiently(partial(client.get, f"/runs/{run['id']}"))
        folder = self._folder.files / "device-runs" / str(run["id"])
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, Path] = {}
        for number, file in enumerate(run["files"]):
            path = folder / str(number)  # the name is the device's word: no path is made of it
            path.write_bytes(_patiently(partial(client.download, f"/runs/{run['id']}/files/{quote(file['name'])}")))
            found[str(file["name"])] = path
        return found

    def _place(self, path: Path) -> tuple[str, str]:
        absolute = (self._workspace / path).resolve()
        for root, kind in ((self._folder.files.resolve(), "job_files"), (self._workspace.resolve(), "files")):
            if absolute.is_relative_to(root):
                return absolute.relative_to(root).as_posix(), kind
        raise InvalidInputError(
            f"{path} is neither in the workspace nor in the job's folder, so it cannot travel to a device.",
            hint="Copy it into the job's folder first.",
        )


def _patiently(call: Callable[[], T]) -> T:
    """Return what a call returns; one that finds no daemon is repeated for a while, since daemons are restarted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except DaemonUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _error_of(run: Record) -> EdgeloopError:
    """Return why a run did not succeed: what its script raised, where that was an error of ours."""
    error: dict[str, Any] = run["error"] or {"code": "cancelled", "message": f"Run {run['id']} was cancelled."}
    cause = (error.get("details") or {}).get("cause")
    return error_from_dict(cause or error)
