"""A task as it is shown: values, which also lie in the history's file. All texts in them are harmless for a screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edgeloop_companion.store.log_tail import ShownLine
from edgeloop_companion.store.operator_times import SHOWN, OperatorTime
from edgeloop_shared.bundles import SHA256_PATTERN
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import TaskWaiting

MAX_RESULTS = 30
MAX_METRICS = 30
MAX_POINTS = 60
MAX_FILES = 30

_SHORT = {"max_length": 200}
_WORDS = {"max_length": 4000}


class Phase(StrEnum):
    """Where a task is. `LOST` means that an app before this one had begun with it, and nobody has taken it up."""

    PREPARING = "preparing"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen, as far as this device knows."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.LOST)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its turn."""
        return self is Phase.WAITING


@dataclass(frozen=True)
class Pause:
    """Where a task stands: at an operator that waits for an answer, or at a line (None: somewhere else) in a debugger."""

    operator: str | None = field(default=None, metadata=_SHORT)
    file: str | None = field(default=None, metadata=_SHORT)
    line: int | None = None


@dataclass(frozen=True)
class Metric:
    """A number that the script reports, the last value and the last few (`points`, thinned out), oldest first."""

    name: str = field(metadata=_SHORT)
    value: float
    step: int | None
    points: tuple[float, ...] = field(default=(), metadata={"max_length": MAX_POINTS})


@dataclass(frozen=True)
class Result:
    """A value of the script's result, as a text."""

    name: str = field(metadata=_SHORT)
    value: str = field(metadata=_SHORT)


@dataclass(frozen=True)
class TaskFile:
    """A file that the script reported; its content is in the store of blobs as long as there is room for it."""

    name: str = field(metadata={"max_length": 512})
    sha256: str = field(metadata={"pattern": SHA256_PATTERN})
    size: int

    @property
    def is_image(self) -> bool:
        """Whether its name says that it is an image that can be shown; only its content is believed."""
        return self.name.lower().endswith((".png", ".jpg", ".jpeg"))


@dataclass(frozen=True)
class Failure:
    """Why a task did not end well, and what to do about it. `trace` are the lines of Python's traceback, or of MNN.

    `code` is that of the `EdgeloopError`.
    """

    message: str = field(metadata=_WORDS)
    hint: str = field(default="", metadata=_WORDS)
    trace: str = field(default="", metadata=_WORDS)
    code: str = field(default="", metadata=_SHORT)


@dataclass(frozen=True)
class Task:
    """A run of one computer on this device. Times are seconds since the UNIX epoch, by this device's clock.

    `device_id` is what the computer calls this device, and stands for the pairing. `transfer` are the bytes that have come and
    those that are to come. With `is_taken_over` its output before `taken_at` was shown by an earlier app only.
    """

    device_id: str = field(metadata={"max_length": 64})
    run_id: str = field(metadata={"max_length": 64})
    computer: str = field(metadata=_SHORT)
    workspace: str = field(metadata=_SHORT)
    script: str = field(metadata={"max_length": 512})
    arguments: str = field(metadata=_SHORT)
    phase: Phase
    taken_at: float
    started_at: float | None = None
    ended_at: float | None = None
    transfer: tuple[int, int] | None = None
    progress: ProgressReported | None = None
    queue: TaskWaiting | None = None
    pause: Pause | None = None
    metrics: tuple[Metric, ...] = field(default=(), metadata={"max_length": MAX_METRICS})
    results: tuple[Result, ...] = field(default=(), metadata={"max_length": MAX_RESULTS})
    files: tuple[TaskFile, ...] = field(default=(), metadata={"max_length": MAX_FILES})
    operators: tuple[OperatorTime, ...] = field(default=(), metadata={"max_length": SHOWN})
    has_valid_times: bool = True
    error: Failure | None = None
    is_stopping: bool = False
    is_taken_over: bool = False
    last_line: str = field(default="", metadata={"max_length": 400})

    @property
    def id(self) -> str:
        """Names it among the tasks of all computers."""
        return f"{self.device_id}.{self.run_id}"


@dataclass(frozen=True)
class TaskDetail:
    """A task with the last lines of its output."""

    task: Task
    lines: tuple[ShownLine, ...] = ()
