"""What is known of one task, as it grows with everything that is seen of its run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.observing import ScriptPaused, ScriptResumed, Seen, TakenRun
from edgeloop_companion.store.log_tail import LogTail
from edgeloop_companion.store.operator_times import OperatorTimes
from edgeloop_companion.store.plain_text import plain, plain_lines, plain_value
from edgeloop_companion.store.task import (
    MAX_FILES,
    MAX_METRICS,
    MAX_POINTS,
    MAX_RESULTS,
    Failure,
    Metric,
    Pause,
    Phase,
    Result,
    Task,
    TaskDetail,
    TaskFile,
)
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_stops import OperatorResumed, OperatorStopped
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import (
    FileAnnounced,
    LogLine,
    MetricReported,
    ResultReported,
    TaskFinished,
    TaskStarted,
    TaskWaiting,
    TransferProgress,
)
from edgeloop_shared.traces import OperatorTable, TraceBatch

MAX_STOPS = 256
TABLE_SECONDS = 0.5  # between two times that the operators are sorted

_Named = TypeVar("_Named", Result, TaskFile)


class TaskRecord:
    """One task. `take` may be called for anything that a script reports; all of it has a bound here."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._log = LogTail()
        self._times = OperatorTimes()
        self._is_table_old = False
        self._sorted_at = 0.0
        self._metrics = {metric.name: metric for metric in task.metrics}
        self._strides: dict[str, tuple[int, int]] = {}
        self._results = {result.name: result for result in task.results}
        self._files = {file.name: file for file in task.files}
        self._stops: dict[int, str] = {}
        self._line: ScriptPaused | None = None
        self._pause_before = task.pause  # before an earlier app ended

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected."""
        return self._task.phase.is_over

    @property
    def has_more(self) -> bool:
        """Whether `task` would be another one a moment later: its operators are sorted only now and then."""
        return self._is_table_old

    @property
    def task(self) -> Task:
        """The task as it is now."""
        if self._is_table_old and (self.is_over or time.monotonic() - self._sorted_at >= TABLE_SECONDS):
            self._is_table_old, self._sorted_at = False, time.monotonic()
            self._change(operators=self._times.longest(), has_valid_times=self._times.are_valid)
        task, last = self._task, self._log.last
        changes: dict[str, Any] = {"last_line": last} if last else {}
        if task.phase is Phase.RUNNING and (pause := self._pause()) is not None:
            changes |= {"phase": Phase.PAUSED, "pause": pause}
        return replace(
            task,
            metrics=tuple(self._metrics.values()),
            results=tuple(self._results.values()),
            files=tuple(self._files.values()),
            **changes,
        )

    @property
    def detail(self) -> TaskDetail:
        """The task with its output."""
        return TaskDetail(self.task, self._log.lines)

    def stop_asked(self) -> None:
        """The device's user wants it to end."""
        self._change(is_stopping=True)

    def take(self, seen: Sequence[Seen]) -> None:
        """Take what happened in the run."""
        lines: list[LogLine] = []
        for one in seen:
            if isinstance(one, LogLine):
                lines.append(one)
            else:
                self._take(one)
        self._log.add(lines)

    def _take(self, seen: Seen) -> None:
        match seen:
            case RunState():
                self._state(seen)
            case TransferProgress(received, total):
                self._change(transfer=(received, total))
            case TaskWaiting():
                self._change(phase=Phase.WAITING, queue=seen)
            case TaskStarted(time_ns):
                self._change(started_at=time_ns / 1e9)
            case TaskFinished(time_ns, state, _, _, error):
                self._change(ended_at=time_ns / 1e9, error=_failure(error), queue=None)
                self._state(state)
            case MetricReported(name, value, step):
                self._metric(plain(name), value, step)
            case ProgressReported():
                self._change(progress=replace(seen, text=plain(seen.text)))
            case ResultReported(values):
                for name, value in values.items():
                    _put(self._results, Result(plain(name), plain_value(value)), MAX_RESULTS)
            case FileAnnounced(name, sha256, size):
                _put(self._files, TaskFile(plain(name, 512), sha256, size), MAX_FILES)
            case OperatorTable():
                self._times.begin(seen)
            case TraceBatch():
                self._times.add(seen)
                self._is_table_old = True
            case OperatorStopped(stop, hit):
                self._pause_before = None
                if len(self._stops) < MAX_STOPS:
                    self._stops[stop] = plain(hit.operator)
            case OperatorResumed(_, stop):
                self._pause_before = None
                self._stops.pop(stop, None)
            case ScriptPaused():
                self._pause_before, self._line = None, seen
            case ScriptResumed():
                self._pause_before = self._line = None

    def _state(self, state: RunState) -> None:
        if state is RunState.RUNNING and self._task.phase is not Phase.RUNNING:
            self._change(phase=Phase.RUNNING, queue=None, transfer=None)
        elif state.is_terminal:
            self._stops.clear()
            self._pause_before = self._line = None
            self._change(phase=Phase(state.value), is_stopping=False, pause=None)

    def _pause(self) -> Pause | None:
        """Where it stands, the operator before the line in a debugger that holds it there."""
        if self._stops:
            return Pause(operator=next(iter(self._stops.values())))
        if self._line is None:
            return self._pause_before
        return Pause(file=None if self._line.file is None else plain(self._line.file), line=self._line.line)

    def _metric(self, name: str, value: float, step: int | None) -> None:
        """Keep the last value, and of many values every other one, every fourth one and so on."""
        known = self._metrics.get(name)
        if known is None and len(self._metrics) >= MAX_METRICS:
            return
        points = () if known is None else known.points
        stride, count = self._strides.get(name, (1, 0))
        if count % stride == 0:
            points = (*points, value)
            if len(points) > MAX_POINTS:
                points, stride = points[::2], stride * 2
        self._strides[name] = stride, count + 1
        self._metrics[name] = Metric(name, value, step, points)

    def _change(self, **changes: Any) -> None:
        self._task = replace(self._task, **changes)


def new_record(pairing: Pairing, run: TakenRun, now: float, known: Task | None) -> TaskRecord:
    """Return the record of a run that has come `now`; of one that is taken over with what the earlier app `known`."""
    command = run.command
    if known is not None:
        return TaskRecord(replace(known, phase=Phase.PREPARING, ended_at=None, error=None, is_taken_over=True))
    return TaskRecord(
        Task(
            device_id=pairing.device_id,
            run_id=command.run_id,
            computer=plain(pairing.host_name),
            workspace=plain(command.workspace_name or command.workspace),
            script=plain(command.script, 512),
            arguments=plain(" ".join(command.arguments[:100])),
            phase=Phase.PREPARING,
            taken_at=now,
            is_taken_over=run.is_taken_over,
        )
    )


def _put(into: dict[str, _Named], value: _Named, limit: int) -> None:
    if value.name in into or len(into) < limit:
        into[value.name] = value


def _failure(error: Mapping[str, Any] | None) -> Failure | None:
    if error is None:
        return None
    details = error.get("details")
    details = details if isinstance(details, Mapping) else {}
    trace = details.get("traceback") or details.get("native_output") or ""
    return Failure(
        plain(str(error.get("message", "")), 1000),
        plain(str(error.get("hint", "")), 1000),
        plain_lines(trace if isinstance(trace, str) else plain_value(trace, 1000)),
        plain(str(error.get("code", "")), 100),
    )
