"""What a run tells: the payloads of its records, which are events, lines of its output, and gaps. Events carry their `type`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from edgeloop_shared.bundles import SHA256_PATTERN, check_bundle_path
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.models import NAME_PATTERN, RunState
from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.operator_stops import OperatorResumed, OperatorsMatched, OperatorStopped
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.spans import TraceStarted
from edgeloop_shared.tagged_json import dump, load
from edgeloop_shared.traces import OperatorTable

MAX_EVENT_BYTES = 4 * 1024**2  # of one event put together from its records; parsed JSON takes up to 25 times as much


@dataclass(frozen=True)
class TaskWaiting:
    """All workers of the device are taken; `before` runs wait in front of this one.

    `running` runs have the workers. `before_of_others` and `running_of_others` say how many of each are other computers'.
    """

    before: int = field(metadata={"ge": 0})
    before_of_others: int | None = field(default=None, metadata={"ge": 0, "is_later": True})
    running: int | None = field(default=None, metadata={"ge": 0, "is_later": True})
    running_of_others: int | None = field(default=None, metadata={"ge": 0, "is_later": True})


@dataclass(frozen=True)
class TaskStarted:
    """The worker runs the script now."""

    time_ns: int


@dataclass(frozen=True)
class TaskFinished:
    """The last record of a run's events. `logs` and `traces` are the last sequence numbers of its other two streams."""

    time_ns: int
    state: RunState
    logs: int = field(metadata={"ge": 0})
    traces: int = field(metadata={"ge": 0})
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TransferProgress:
    """How much of the bundle's missing bytes has arrived on the device."""

    received: int = field(metadata={"ge": 0})
    total: int = field(metadata={"ge": 0})


@dataclass(frozen=True)
class MetricReported:
    """One number that the script reported; `step` is None for a single figure."""

    name: str = field(metadata={"min_length": 1, "max_length": 256, "pattern": NAME_PATTERN})
    value: float
    step: int | None = None


@dataclass(frozen=True)
class ResultReported:
    """Values that the script reported as its result; several reports merge."""

    values: Mapping[str, Any] = field(metadata={"max_length": 1024})


@dataclass(frozen=True)
class FileAnnounced:
    """A file that the script reported; its bytes follow by `PUT /v1/blob/<sha256>` once this record is acknowledged.

    `name` obeys the rules of a bundle's paths (`check_bundle_path`).
    """

    name: str = field(metadata={"min_length": 1, "max_length": 512})
    sha256: str = field(metadata={"pattern": SHA256_PATTERN})
    size: int = field(metadata={"ge": 0})

    def __post_init__(self) -> None:
        check_bundle_path(self.name)


OperatorEvent = OperatorHitReported | OperatorStopped | OperatorResumed | OperatorsMatched
"""What breakpoints on operators have to tell."""

Event = (
    TaskWaiting
    | TaskStarted
    | TaskFinished
    | TransferProgress
    | MetricReported
    | ProgressReported
    | ResultReported
    | FileAnnounced
    | OperatorTable
    | OperatorEvent
    | TraceStarted
    | ClockCompared
)

EVENT_KINDS: dict[str, type[Event]] = {
    "waiting": TaskWaiting,
    "started": TaskStarted,
    "finished": TaskFinished,
    "transfer": TransferProgress,
    "metric": MetricReported,
    "progress": ProgressReported,
    "result": ResultReported,
    "file": FileAnnounced,
    "operator-table": OperatorTable,
    "operator-hit": OperatorHitReported,
    "operator-stopped": OperatorStopped,
    "operator-resumed": OperatorResumed,
    "operators-matched": OperatorsMatched,
    "trace-started": TraceStarted,
    "clock-compared": ClockCompared,
}
"""The events by their `type`."""


@dataclass(frozen=True)
class LogLine:
    """A piece of a task's output, usually one line without its newline."""

    time_ns: int
    source: Literal["stdout", "stderr", "system"]
    text: str = field(metadata={"max_length": 16 * 1024})


@dataclass(frozen=True)
class Gap:
    """The payload of a record that is marked as a gap: what its device had to drop at this place of the stream.

    `items` counts log lines or trace batches, `bytes` their payloads, and the times say when it was.
    """

    items: int = field(metadata={"ge": 0})
    bytes: int = field(metadata={"ge": 0})
    reason: Literal["spool-full", "disk-full"]
    since_ns: int
    until_ns: int


def waiting_words(waiting: TaskWaiting) -> str:
    """Return for a reader at the computer what a run waits for."""
    if waiting.before:
        others = "1 other" if waiting.before == 1 else f"{waiting.before} others"
        of_others = _of_others(waiting.before_of_others)
        return f"waiting behind {others}" + (f" ({of_others})" if of_others else "")
    if not waiting.running:
        return "waiting, next in line"
    run = "1 task runs" if waiting.running == 1 else f"{waiting.running} tasks run"
    return f"waiting, next in line ({', '.join(filter(None, (run, _of_others(waiting.running_of_others))))})"


def _of_others(count: int | None) -> str:
    return f"{count} of {'another computer' if count == 1 else 'other computers'}" if count else ""


def encode_event(event: Event) -> bytes:
    """Return the payload of a record on an `events` stream."""
    return dump(event, EVENT_KINDS)


def decode_event(payload: bytes, *, max_bytes: int = MAX_EVENT_BYTES) -> Event:
    """Return the event in a (reassembled) payload. Raises `MessageError` for anything else."""
    return cast("Event", load(payload, EVENT_KINDS, max_bytes))
