"""A job's folder: where the daemon, the supervisor and the job process leave what the others read.

Every file has one writer. `spec.json`: the daemon, before the job begins. `lock`: the supervisor holds it for its life.
`cancel`: the daemon; its being there asks for the job's end.
`runtime.json` and `runs`: the daemon, for what the job runs on devices.
`group`: the job process holds it and leads the process group. `log`: the supervisor. `progress.json`, `metrics.jsonl` and
`outcome.json`: the job process. `status.json`: whoever holds `lock`; it appears once, and then the job has ended.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared import process_lock

MAX_OUTCOME_BYTES = 8 * 1024 * 1024
SHOWN_LINES = 20
_SHOWN_BYTES = 16 * 1024


@dataclass(frozen=True)
class JobSpec:
    """What a job process is asked to do.

    The handler and the classes of its parameters and its result are `"module:name"`; the parameters are plain JSON values.
    """

    job: str
    name: str
    handler: str
    parameters_type: str
    parameters: Mapping[str, Any]
    result_type: str
    workspace: str


@dataclass(frozen=True)
class JobFolder:
    """The paths in one job's folder."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor."""
        return self.root / "lock"

    @property
    def group(self) -> Path:
        """Held by the job process, the leader of the process group."""
        return self.root / "group"

    @property
    def cancel(self) -> Path:
        """Is there once the job's end was asked for; it is kept, so that neither side can miss it."""
        return self.root / "cancel"

    @property
    def log(self) -> Path:
        """Plain text, with a limit of size."""
        return self.root / "log"

    @property
    def progress(self) -> Path:
        """The newest progress."""
        return self.root / "progress.json"

    @property
    def metrics(self) -> Path:
        """One point per line."""
        return self.root / "metrics.jsonl"

    @property
    def outcome(self) -> Path:
        """The handler's result or error."""
        return self.root / "outcome.json"

    @property
    def status(self) -> Path:
        """How the job ended."""
        return self.root / "status.json"

    @property
    def runtime(self) -> Path:
        """Where the job reaches the local API, and its token: `{port, token}`, 0600, while it runs."""
        return self.root / "runtime.json"

    @property
    def runs(self) -> Path:
        """The ids of the runs on devices that the job has started, one per line."""
        return self.root / "runs"

    @property
    def files(self) -> Path:
        """The handler's own folder."""
        return self.root / "files"

    def create(self, spec: JobSpec) -> None:
        """Create the folder with everything that a supervisor needs; nothing stays behind when that fails."""
        try:
            self.root.mkdir(mode=0o700, parents=True)
            self.files.mkdir(mode=0o700)
            self.log.touch(mode=0o600)
            write_atomically(self.root / "spec.json", json.dumps(asdict(spec)))
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder with all that lies in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def is_active(self) -> bool:
        """Return whether a process of the job lives."""
        return process_lock.is_held(self.lock) or process_lock.is_held(self.group)

    def has_begun(self) -> bool:
        """Return whether a supervisor has taken the job on: one that died before it started anything does not count."""
        return process_lock.is_held(self.lock) or self.group.exists() or self.status.exists()

    def spec(self) -> JobSpec:
        """Return what `create` was given."""
        return JobSpec(**json.loads((self.root / "spec.json").read_bytes()))

    def last_lines(self) -> list[str]:
        """Return the last lines of the log."""
        with self.log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - _SHOWN_BYTES))
            return file.read().decode(errors="replace").splitlines()[-SHOWN_LINES:]

    def write_status(self, state: str, ended_at: float, *, result: Any = None, error: Any = None) -> None:
        """Record how the job ended. Only the holder of `lock` may do that."""
        record = {"state": state, "result": result, "error": error, "ended_at": ended_at}
        write_atomically(self.status, json.dumps(record))
