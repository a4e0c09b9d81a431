"""How far a run's script says that it is: the newest is kept, and the event log learns of it now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from edgeloop_daemon.events.event_log import PROGRESS_SECONDS, record_event
from edgeloop_daemon.events.kinds import RunProgressed
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import encode_json
from edgeloop_shared.progress import ProgressReported


@dataclass(frozen=True)
class RunProgress:
    """The newest progress of a run, and the one that the event log learned of at `told_at` (monotonic seconds)."""

    newest: ProgressReported | None = None
    told: ProgressReported | None = None
    told_at: float = 0.0

    @property
    def is_told(self) -> bool:
        """Whether the event log knows of the newest."""
        return self.told == self.newest


def note_progress(db: Tables, run_id: str, newest: ProgressReported, known: RunProgress) -> RunProgress:
    """Store the newest progress in place of an older one."""
    db.execute("update runs set progress_json = ? where id = ?", [encode_json(newest).decode(), run_id])
    return replace(known, newest=newest)


def tell_progress(db: Tables, run_id: str, progress: RunProgress, *, at_once: bool = False) -> RunProgress:
    """Record the event that tells of the newest, unless it is told or (but for `at_once`) another was told just now."""
    newest, now = progress.newest, time.monotonic()
    if newest is None or progress.is_told or not (at_once or now >= progress.told_at + PROGRESS_SECONDS):
        return progress
    found = db.execute("select workspace from runs where id = ?", [run_id]).fetchone()
    if found is not None:
        record_event(db, RunProgressed(run_id, newest.done, newest.total, newest.text), found[0])
    return replace(progress, told=newest, told_at=now)
