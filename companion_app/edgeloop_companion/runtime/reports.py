"""What a worker's script reports, read with limits: what runs in there is somebody's script.

A frame of the report channel has a kind: 1 is a JSON report, 2 a packed trace batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_companion.runtime.trace_batches import TracesReported
from edgeloop_shared.bundles import check_bundle_path
from edgeloop_shared.codec import decode, parse_json
from edgeloop_shared.errors import InvalidInputError, MessageError
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import MAX_EVENT_BYTES, MetricReported, OperatorEvent, ResultReported, decode_event
from edgeloop_shared.spans import TraceStarted
from edgeloop_shared.trace_payloads import unpack_trace
from edgeloop_shared.traces import OperatorTable, TraceBatch

KIND_JSON = 1
KIND_TRACES = 2


@dataclass(frozen=True)
class FileReported:
    """A file that the script wants brought back; `path` is absolute or relative to the task's folder."""

    path: str = field(metadata={"min_length": 1, "max_length": 4096})
    name: str = field(metadata={"min_length": 1, "max_length": 512})

    def __post_init__(self) -> None:
        check_bundle_path(self.name)


@dataclass(frozen=True)
class Unusable:
    """A report that had to be left out, and why."""

    reason: str


_Event = MetricReported | ProgressReported | ResultReported | OperatorTable | OperatorEvent | TraceStarted
Report = _Event | FileReported | TracesReported | Unusable


def read_report(frame: bytes) -> Report:
    """Return the report in a frame: its kind as one byte, then its payload."""
    try:
        return _decode(frame[0], frame[1:])
    except InvalidInputError as error:
        return Unusable(error.message)


def _decode(kind: int, payload: bytes) -> Report:
    if kind == KIND_TRACES:
        batch = unpack_trace(payload)
        return TracesReported(payload, batch if isinstance(batch, TraceBatch) else None)
    if kind != KIND_JSON:
        raise MessageError(f"It has the unknown kind {kind}.")
    record = parse_json(payload, max_bytes=MAX_EVENT_BYTES)
    if isinstance(record, dict) and record.get("type") == "file":
        return decode(FileReported, {name: value for name, value in record.items() if name != "type"})
    event = decode_event(payload, max_bytes=MAX_EVENT_BYTES)
    if not isinstance(event, _Event):
        raise MessageError(f"A script cannot report a {type(event).__name__}.")
    return event
