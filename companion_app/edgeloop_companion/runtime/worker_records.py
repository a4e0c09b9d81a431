"""What a worker said and its script printed and reported, as the payloads of a run's records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgeloop_companion.runtime.guardian import MAX_WORD_BYTES
from edgeloop_companion.runtime.journal import Entry, Kind
from edgeloop_companion.runtime.observing import ScriptPaused, ScriptResumed, Seen
from edgeloop_companion.runtime.output import Source, pack_lines
from edgeloop_companion.runtime.reports import FileReported, Report, Unusable, read_report
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.runtime.streams import MAX_LINE_CHARACTERS
from edgeloop_companion.runtime.trace_batches import TracesReported, merged
from edgeloop_shared.codec import decode_json, printable
from edgeloop_shared.errors import MessageError
from edgeloop_shared.operator_hits import OperatorHitReported, hit_lines
from edgeloop_shared.operator_stops import OperatorsMatched, OperatorStopped, matched_words, stopped_line
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.records import Priority
from edgeloop_shared.run_events import Event, FileAnnounced, LogLine, TaskStarted, encode_event
from edgeloop_shared.spans import TraceStarted

LARGE_REPORT_BYTES = 64 * 1024  # beyond it the event loop does not read a report itself
SOURCES: Mapping[int, Source] = {Kind.STDOUT: "stdout", Kind.STDERR: "stderr"}
"""The entries of a journal that are lines of output, and whose."""


@dataclass(frozen=True)
class _Word:
    """A word of the worker, see `runtime.worker`."""

    event: Literal["started", "note", "failed", "paused", "resumed"]
    error: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", metadata={"max_length": MAX_LINE_CHARACTERS})
    file: str | None = field(default=None, metadata={"max_length": 4096})
    line: int | None = None


class WorkerRecords:
    """Entries of a journal on their way to the daemon. `folder` holds the task's files, a reported one goes into `store`.

    Beside the payloads they tell whether the script has started, the `clock_offset_ns` of a trace that began, which files were
    announced (sizes by SHA-256), and what went wrong in the script.
    """

    def __init__(self, folder: Path, store: BlobStore) -> None:
        self.has_started = False
        self.traced: int | None = None
        self.files: dict[str, int] = {}
        self.failure: Mapping[str, Any] | None = None
        self._folder = folder
        self._store = store
        self._events: list[Event] = []
        self._pauses: list[ScriptPaused | ScriptResumed] = []
        self._traces: list[TracesReported] = []
        self._lines: list[LogLine] = []

    async def add(self, entry: Entry) -> None:
        """Take an entry, in the journal's order."""
        if entry.kind in SOURCES:
            source = SOURCES[entry.kind]
            self._lines += [LogLine(entry.time_ns, source, line) for line in entry.payload.decode().split("\n")]
        elif entry.kind == Kind.UNUSABLE:
            self._leave_out(entry.time_ns, entry.payload.decode())
        elif entry.kind == Kind.WORD:
            self._add_word(entry)
        else:
            await self._add_report(entry.time_ns, await _report(entry.payload))

    def payloads(self) -> list[tuple[Priority, bytes]]:
        """Return what is to be stored of all entries, each stream in its order."""
        return [
            *((Priority.EVENTS, encode_event(event)) for event in self._events),
            *((Priority.TRACES, payload) for payload in merged(self._traces)),
            *((Priority.LOGS, payload) for payload in pack_lines(self._lines)),
        ]

    def seen(self) -> list[Seen]:
        """Return the same for who looks on."""
        batches = (report.operators for report in self._traces if report.operators is not None)
        return [*self._lines, *self._events, *batches, *self._pauses]

    def _add_word(self, entry: Entry) -> None:
        try:
            word = decode_json(_Word, entry.payload, max_bytes=MAX_WORD_BYTES)
        except MessageError:
            return  # a script may write anywhere
        if word.event == "started":
            self.has_started = True
            self._event(TaskStarted(entry.time_ns))
        elif word.event == "note":
            self._note(entry.time_ns, word.text)
        elif word.event == "paused":
            self._pauses.append(ScriptPaused(word.file, word.line))
        elif word.event == "resumed":
            self._pauses.append(ScriptResumed())
        else:
            self.failure = word.error

    async def _add_report(self, time_ns: int, report: Report) -> None:
        match report:
            case TracesReported():
                self._traces.append(report)
            case Unusable(reason):
                self._leave_out(time_ns, reason)
            case FileReported(path, name):
                try:
                    sha256, size = await asyncio.to_thread(self._store.take, self._folder / path)
                except OSError as error:
                    self._note(time_ns, f"The reported file {name} cannot be read: {error.strerror}.")
                else:
                    self._event(FileAnnounced(name, sha256, size))
                    self.files[sha256] = size
            case OperatorHitReported():
                self._event(report)
                for line in hit_lines(report):
                    self._note(time_ns, line)
            case OperatorStopped():
                self._event(report)
                self._note(time_ns, stopped_line(report))
            case OperatorsMatched():
                self._event(report)
                if not report.count:
                    self._note(time_ns, f"{printable(report.breakpoint)} {matched_words(report)}")
            case TraceStarted():
                self._event(report)
                self.traced = report.clock_offset_ns
            case ProgressReported() if self._events and isinstance(self._events[-1], ProgressReported):
                self._events[-1] = report  # only the newest counts, whatever a script writes into its channel
            case _:
                self._event(report)

    def _event(self, event: Event) -> None:
        self._events.append(event)

    def _note(self, time_ns: int, text: str) -> None:
        self._lines.append(LogLine(time_ns, "system", text))

    def _leave_out(self, time_ns: int, reason: str) -> None:
        self._note(time_ns, f"A report of the script was left out: {reason}")


async def _report(frame: bytes) -> Report:
    """Return the report in a frame; a large one is read in a thread: a table of 10,000 operators takes a third of a second."""
    return read_report(frame) if len(frame) < LARGE_REPORT_BYTES else await asyncio.to_thread(read_report, frame)
