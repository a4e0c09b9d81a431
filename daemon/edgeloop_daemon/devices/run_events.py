"""What a device's records do to a run: applied in the transaction that stores them, so each one counts exactly once.

Everything here is the device's word. It is decoded into types, counted against quotas, and never used as a path.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from edgeloop_daemon.devices.operator_hits import HitCount, insert_hit, tell_hits
from edgeloop_daemon.devices.operator_stops import insert_stop, note_matches, remove_stop
from edgeloop_daemon.devices.records import insert_records
from edgeloop_daemon.devices.run_progress import RunProgress, note_progress, tell_progress
from edgeloop_daemon.devices.run_table import NO_STEP
from edgeloop_daemon.events.event_log import PROGRESS_SECONDS, record_event
from edgeloop_daemon.events.kinds import Occurrence, RunFileReported, RunStarted, RunTransferred, RunWaiting
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.intake import SEAL_BYTES, add_clock, add_session, begin_trace, seal, sessions_of
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.codec import decode_json, encode_json, members
from edgeloop_shared.errors import DeviceVanishedError, EdgeloopError, MessageError, TooLargeError
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.operator_stops import OperatorResumed, OperatorsMatched, OperatorStopped
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.records import MAX_PAYLOAD, Priority, Record, stream_priority
from edgeloop_shared.run_events import (
    MAX_EVENT_BYTES,
    Event,
    FileAnnounced,
    Gap,
    MetricReported,
    ResultReported,
    TaskFinished,
    TaskStarted,
    TaskWaiting,
    TransferProgress,
    decode_event,
)
from edgeloop_shared.spans import TraceStarted
from edgeloop_shared.traces import OperatorTable

MAX_EVENT_PARTS = 1024


@dataclass(frozen=True)
class Quotas:
    """How much one run may report."""

    record_bytes: int = 256 * 1024**2
    result_bytes: int = 1024**2
    metric_names: int = 1000
    metric_points: int = 1_000_000
    files: int = 1000
    gaps: int = 1000
    trace_sessions: int = 1000
    trace_clocks: int = 10_000
    operator_hits: int = 100_000
    file_bytes: int = 1024**3


@dataclass(frozen=True)
class Reported:
    """What a run has reported so far, as far as the next record needs it. A value: a failed transaction changes nothing."""

    state: RunState = RunState.QUEUED
    epoch: str | None = None
    record_bytes: int = 0
    parts: tuple[bytes, ...] = ()  # of an event whose last part has not come yet
    logs: int = 0  # last stored sequence numbers
    traces: int = 0
    unsealed: int = 0  # bytes of trace batches that lie in no block yet
    clocks: int = 0
    metric_names: frozenset[str] = frozenset()
    metric_points: int = 0
    files: dict[str, tuple[str, int]] = field(default_factory=dict)  # by name: SHA-256 and size
    hits: HitCount = field(default_factory=HitCount)
    finished: TaskFinished | None = None
    transfer: TransferProgress | None = None
    transfer_told_at: float = 0.0
    progress: RunProgress = field(default_factory=RunProgress)
    failure: EdgeloopError | None = None
    """Why the run must end although the device goes on: a broken quota, or an event that cannot be understood."""

    @property
    def is_complete(self) -> bool:
        """Whether the task has finished and all of its output is here."""
        return self.finished is not None and self.logs >= self.finished.logs and self.traces >= self.finished.traces


def store_records(
    db: Tables, device_id: str, epoch: str, run_id: str, records: Iterable[Record], reported: Reported, quotas: Quotas
) -> Reported:
    """Store a run's records, do what they say and return what the run has reported then.

    Records behind a failure are dropped: the run is over.
    """
    reported = replace(reported, epoch=epoch)
    for record in records:
        if reported.failure is not None:
            break
        size = reported.record_bytes + len(record.payload)
        if size > quotas.record_bytes:
            failure = _exceeded("bytes of output, traces and reports", quotas.record_bytes)
            return replace(reported, failure=failure)
        insert_records(db, device_id, epoch, (record,))
        reported = replace(reported, record_bytes=size)
        if record.is_gap:
            try:
                _gap(db, run_id, record, quotas)
            except EdgeloopError as error:
                reported = replace(reported, failure=error, parts=())
                break
        match stream_priority(record.stream):
            case Priority.LOGS:
                reported = replace(reported, logs=record.sequence)
            case Priority.TRACES:
                unsealed = reported.unsealed + len(record.payload)
                reported = replace(reported, traces=record.sequence, unsealed=unsealed)
            case Priority.EVENTS if not record.is_gap:
                try:
                    reported = _event_record(db, run_id, record, reported, quotas)
                except EdgeloopError as error:
                    reported = replace(reported, failure=error, parts=())
    if reported.unsealed >= SEAL_BYTES or (reported.unsealed and reported.is_complete):
        seal(db, run_id)
        reported = replace(reported, unsealed=0)
    is_last = reported.finished is not None
    return replace(
        reported,
        hits=tell_hits(db, run_id, reported.hits, at_once=is_last),
        progress=tell_progress(db, run_id, reported.progress, at_once=is_last),
    )


def _event_record(db: Tables, run_id: str, record: Record, reported: Reported, quotas: Quotas) -> Reported:
    parts = (*reported.parts, record.payload)
    if len(parts) > MAX_EVENT_PARTS:  # each part costs a look at all before it
        raise _exceeded("parts of one report", MAX_EVENT_PARTS)
    if sum(map(len, parts)) > MAX_EVENT_BYTES:
        raise _exceeded("bytes in one report", MAX_EVENT_BYTES)
    if record.continued:
        return replace(reported, parts=parts)
    return _apply(db, run_id, decode_event(b"".join(parts)), replace(reported, parts=()), quotas)


def _apply(db: Tables, run_id: str, event: Event, reported: Reported, quotas: Quotas) -> Reported:
    if reported.finished is not None:
        return reported  # nothing counts after the end
    match event:
        case TaskWaiting():
            db.execute("update runs set queue_json = ? where id = ?", [encode_json(event).decode(), run_id])
            _tell(db, run_id, RunWaiting(run_id, **members(event)))
            return reported
        case TaskStarted():
            if reported.state is RunState.RUNNING:
                return reported
            sql = "update runs set state = 'running', started_at = max(?, created_at), queue_json = null where id = ?"
            db.execute(sql, [time.time(), run_id])
            _tell(db, run_id, RunStarted(run_id))
            return replace(reported, state=RunState.RUNNING)
        case TransferProgress(received, total):
            received = min(received, total)
            transfer = json.dumps({"received": received, "total": total})
            state = RunState.PREPARING if reported.state is RunState.QUEUED else reported.state
            db.execute("update runs set state = ?, transfer_json = ? where id = ?", [state.value, transfer, run_id])
            now = time.monotonic()
            is_last = received == total and event != reported.transfer
            if is_last or now >= reported.transfer_told_at + PROGRESS_SECONDS:
                _tell(db, run_id, RunTransferred(run_id, received, total))
                reported = replace(reported, transfer_told_at=now)
            return replace(reported, state=state, transfer=event)
        case MetricReported():
            return _metric(db, run_id, event, reported, quotas)
        case ProgressReported():
            return replace(reported, progress=note_progress(db, run_id, event, reported.progress))
        case ResultReported():
            return _result(db, run_id, event, reported, quotas)
        case FileAnnounced():
            return _file(db, run_id, event, reported, quotas)
        case OperatorHitReported():
            if reported.hits.stored >= quotas.operator_hits:
                raise _exceeded("hits of operator breakpoints", quotas.operator_hits)
            return replace(reported, hits=insert_hit(db, run_id, event, reported.hits))
        case OperatorStopped():
            insert_stop(db, run_id, event)
        case OperatorResumed():
            remove_stop(db, run_id, event)
        case OperatorsMatched():
            note_matches(db, run_id, event)
        case TaskFinished():
            if not event.state.is_terminal:
                raise MessageError(f"The device said that the task is finished, and {event.state} at that.")
            return replace(reported, finished=event)
        case OperatorTable():
            if sessions_of(db, run_id) >= quotas.trace_sessions:
                raise _exceeded("sessions of traces", quotas.trace_sessions)
            add_session(db, run_id, event)
        case TraceStarted():
            begin_trace(db, run_id, event)
        case ClockCompared():
            if reported.clocks >= quotas.trace_clocks:
                raise _exceeded("comparisons of clocks", quotas.trace_clocks)
            add_clock(db, run_id, event)
            return replace(reported, clocks=reported.clocks + 1)
    return reported


def _gap(db: Tables, run_id: str, record: Record, quotas: Quotas) -> None:
    gap = decode_json(Gap, record.payload, max_bytes=MAX_PAYLOAD)
    (known,) = db.execute("select count(*) from run_gaps where run = ?", [run_id]).fetchone()
    if known >= quotas.gaps:
        raise _exceeded("gaps", quotas.gaps)
    db.execute(
        "insert into run_gaps (run, stream, sequence, items, bytes, reason, begun_at, ended_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(run_id, stream_priority(record.stream).name.lower(), record.sequence, gap.items, gap.bytes, gap.reason),
            *(gap.since_ns / 1e9, gap.until_ns / 1e9),
        ],
    )


def _metric(db: Tables, run_id: str, event: MetricReported, reported: Reported, quotas: Quotas) -> Reported:
    if event.step is not None and abs(event.step) >= 2**53:  # beyond that JavaScript would show another number
        raise MessageError(f"The metric {event.name!r} was reported for a step beyond 2**53.")
    names = reported.metric_names | {event.name}
    if len(names) > quotas.metric_names:
        raise _exceeded("names of metrics", quotas.metric_names)
    if reported.metric_points >= quotas.metric_points:
        raise _exceeded("metric values", quotas.metric_points)
    db.execute(
        "insert into metrics (run, tag, step, value, time) values (?, ?, ?, ?, ?) on conflict (run, tag, step)"
        " do update set value = excluded.value, time = excluded.time",
        [run_id, event.name, NO_STEP if event.step is None else event.step, event.value, time.time()],
    )
    return replace(reported, metric_names=names, metric_points=reported.metric_points + 1)


def _result(db: Tables, run_id: str, event: ResultReported, reported: Reported, quotas: Quotas) -> Reported:
    (known,) = db.execute("select result_json from runs where id = ?", [run_id]).fetchone()
    text = encode_json({**json.loads(known), **event.values})
    if len(text) > quotas.result_bytes:
        raise _exceeded("bytes of results", quotas.result_bytes)
    db.execute("update runs set result_json = ? where id = ?", [text.decode(), run_id])
    return reported


def _file(db: Tables, run_id: str, event: FileAnnounced, reported: Reported, quotas: Quotas) -> Reported:
    files = {**reported.files, event.name: (event.sha256, event.size)}
    if len(files) > quotas.files:
        raise _exceeded("files", quotas.files)
    if sum(size for _, size in files.values()) > quotas.file_bytes:
        raise _exceeded("bytes of files", quotas.file_bytes)
    if len(dict.fromkeys(files.values())) != len({sha256 for sha256, _ in files.values()}):
        raise MessageError("The device announced one file content with two sizes.")
    db.execute(
        "insert into run_files (run, name, sha256, size, is_received) values (?1, ?2, ?3, ?4,"
        " exists (select 1 from run_files where run = ?1 and sha256 = ?3 and is_received))"
        " on conflict (run, name) do update"
        " set sha256 = excluded.sha256, size = excluded.size, is_received = excluded.is_received",
        [run_id, event.name, event.sha256, event.size],
    )
    if event.name not in reported.files:
        _tell(db, run_id, RunFileReported(run_id, event.name, event.size))
    return replace(reported, files=files)


def _tell(db: Tables, run_id: str, occurrence: Occurrence) -> None:
    (workspace,) = db.execute("select workspace from runs where id = ?", [run_id]).fetchone()
    record_event(db, occurrence, workspace)


def _exceeded(noun: str, limit: int) -> TooLargeError:
    return TooLargeError(
        f"The run reported more than {limit} {noun}, so it was ended.",
        hint="Report less, or split the work into several runs.",
        details={"limit": limit},
    )


def describe_gap(gap: Gap) -> str:
    """Return the words in which a gap stands in a run's output."""
    why = {
        "spool-full": "the device was away and its spool was full",
        "disk-full": "the device's disk was full",
    }
    lines = f"{gap.items} lines of" if gap.items else "some"
    return f"({lines} output are missing, {gap.bytes} bytes: {why[gap.reason]})"


def describe_final_loss(device: str, script: str, reason: str) -> DeviceVanishedError:
    """Return the error of a run that does not return, although its device was lost for a while only."""
    return DeviceVanishedError(
        f"The device {device} was lost while it worked on {script}, and the run does not return: {reason}.",
        hint="What it had sent until then is kept. Run again.",
    )


def describe_loss(device: str, script: str, reason: str, reported: Reported, seconds: float) -> DeviceVanishedError:
    """Return the error of a run whose device was lost: it says where the run was. `seconds` is how long it had run."""
    match reported.state:
        case RunState.RUNNING:
            where = f"after it had run for {seconds:.0f} s"
        case RunState.PREPARING if reported.transfer is not None and reported.transfer.total:
            where = f"when {reported.transfer.received} of {reported.transfer.total} bytes had been transferred"
        case _:
            where = "before the script had begun"
    return DeviceVanishedError(
        f"The device {device} was lost while it worked on {script}, {where}: {reason}.",
        hint="What it had sent until then is kept. Check its power and network, then run again.",
        details={"state": reported.state.value, "seconds": round(seconds, 1)},
    )
