"""What a run had reported to an earlier daemon, read back from the database."""

from __future__ import annotations

from edgeloop_daemon.devices.operator_hits import count_hits
from edgeloop_daemon.devices.records import last_payload, unfinished_parts
from edgeloop_daemon.devices.run_events import Reported
from edgeloop_daemon.devices.run_progress import RunProgress
from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import MessageError
from edgeloop_shared.records import Priority, stream_name
from edgeloop_shared.run_events import TaskFinished, TransferProgress, decode_event


def restore_reported(db: Tables, run: Run) -> Reported:
    """Return what is known of a run that has not ended."""
    streams = {priority: stream_name(run.id, priority) for priority in Priority}
    placeholders = ",".join("?" * len(streams))
    rows = db.execute(
        "select stream, epoch, max(sequence), sum(length(payload)) from records"  # noqa: S608 - only question marks
        f" where stream in ({placeholders}) group by stream",
        list(streams.values()),
    ).fetchall()
    positions = {stream: sequence for stream, _, sequence, _ in rows}
    sealed = db.execute("select raw_bytes from traces where run = ?", [run.id]).fetchone()
    (clocks,) = db.execute("select count(*) from trace_clocks where run = ?", [run.id]).fetchone()
    metrics = db.execute("select tag, count(*) from metrics where run = ? group by tag", [run.id]).fetchall()
    return Reported(
        state=run.state,
        epoch=rows[0][1] if rows else None,
        record_bytes=sum(size for *_, size in rows) + (sealed[0] if sealed else 0),
        parts=unfinished_parts(db, streams[Priority.EVENTS]),
        logs=positions.get(streams[Priority.LOGS], 0),
        traces=positions.get(streams[Priority.TRACES], 0),
        unsealed=next((size for stream, *_, size in rows if stream == streams[Priority.TRACES]), 0),
        clocks=clocks,
        metric_names=frozenset(tag for tag, _ in metrics),
        metric_points=sum(count for _, count in metrics),
        files={file.name: (file.sha256, file.size) for file in run.files},
        hits=count_hits(db, run.id),
        finished=_finished(db, streams[Priority.EVENTS]),
        transfer=TransferProgress(run.transfer.received, run.transfer.total) if run.transfer else None,
        progress=RunProgress(run.progress, run.progress),
    )


def _finished(db: Tables, stream: str) -> TaskFinished | None:
    payload = last_payload(db, stream)
    if payload is None:
        return None
    try:
        event = decode_event(payload)
    except MessageError:
        return None
    return event if isinstance(event, TaskFinished) else None
