"""Where a task's reports go: to the console on a PC, through a channel to the companion on a device."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, Protocol, SupportsFloat, TypeAlias, TypeVar

from edgeloop_shared.bundles import check_bundle_path
from edgeloop_shared.chrome_trace import chrome_trace
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import BundleError, InvalidInputError
from edgeloop_shared.operator_hits import OperatorHitReported, hit_lines
from edgeloop_shared.progress import ProgressReported, progress_bar, progress_fraction, progress_words
from edgeloop_shared.run_events import Event, MetricReported, OperatorEvent, ResultReported, encode_event
from edgeloop_shared.spans import CounterBatch, SpanBatch, TraceStarted
from edgeloop_shared.trace_payloads import unpack_trace
from edgeloop_shared.traces import OperatorTable, TraceBatch

_Report = TypeVar("_Report", MetricReported, ResultReported)

OUTPUT_FOLDER = Path("edgeloop-output")
FRAME = struct.Struct("<IB")
JSON_FRAME = 1
TRACE_FRAME = 2


StopAt: TypeAlias = Callable[[FrameType], None]
"""Stops the calling thread at a frame of its stack."""


class Reporter(Protocol):
    """Takes what a task reports. `is_attended` says whether somebody can tell a run that waits at an operator to go on."""

    is_attended: bool

    def debugger(self) -> StopAt | None:
        """Return what stops the calling thread at a frame, in a debugger, until that lets it go; None where none is attached."""

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Take one number."""

    def progress(self, progress: ProgressReported) -> None:
        """Take how far the task is. It may come from another thread than other reports."""

    def result(self, values: dict[str, Any]) -> None:
        """Take values of the task's result."""

    def file(self, path: Path, name: str) -> None:
        """Take a file that exists now; later changes to it do not matter."""

    def trace_started(self, event: TraceStarted) -> None:
        """Take the head of the trace that follows."""

    def operator_table(self, table: OperatorTable) -> None:
        """Take the operators of a session that the following batches refer to."""

    def trace_batch(self, data: bytes) -> None:
        """Take a packed batch of operators, spans or counters."""

    def operator_event(self, event: OperatorEvent) -> None:
        """Take what breakpoints on operators have to tell."""

    def close(self) -> None:
        """The task has ended."""


class ConsoleReporter:
    """Reports of a script that runs without a companion: lines of JSON on stdout, files and a trace in a folder.

    Progress is a line on stderr that is drawn anew, in a terminal only.
    """

    is_attended = False

    def __init__(self, folder: Path = OUTPUT_FOLDER) -> None:
        self._folder = folder.absolute()  # wherever the script goes later
        self._clock_offset_ns = 0
        self._tables: list[OperatorTable] = []
        self._batches: list[TraceBatch] = []
        self._spans: list[SpanBatch] = []
        self._counters: list[CounterBatch] = []
        self._lock = threading.Lock()  # held while something is printed: progress comes from a thread of its own
        self._has_line = False

    def debugger(self) -> StopAt | None:
        """Nobody has set one up here."""
        return None

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Print the number as a line of JSON."""
        self._print({name: value} if step is None else {"step": step, name: value})

    def progress(self, progress: ProgressReported) -> None:
        """Draw a line on stderr anew, if that is a terminal."""
        if not sys.stderr.isatty():
            return
        fraction = progress_fraction(progress.done, progress.total)
        bar = "" if fraction is None else progress_bar(fraction)
        text = " ".join(filter(None, (bar, progress_words(progress.done, progress.total), progress.text)))
        with self._lock:
            sys.stderr.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()
            self._has_line = True

    def result(self, values: dict[str, Any]) -> None:
        """Print the values as a line of JSON."""
        self._print(values)

    def file(self, path: Path, name: str) -> None:
        """Copy the file into the output folder."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(path)):
            shutil.copyfile(path, target)

    def trace_started(self, event: TraceStarted) -> None:
        """Keep how far this clock is from the wall's."""
        self._clock_offset_ns = event.clock_offset_ns

    def operator_table(self, table: OperatorTable) -> None:
        """Keep the table for the trace."""
        self._tables.append(table)

    def trace_batch(self, data: bytes) -> None:
        """Keep the batch for the trace."""
        match unpack_trace(data):
            case SpanBatch() as batch:
                self._spans.append(batch)
            case CounterBatch() as batch:
                self._counters.append(batch)
            case batch:
                self._batches.append(batch)

    def operator_event(self, event: OperatorEvent) -> None:
        """Print a hit for a reader, on stderr: stdout holds JSON."""
        if isinstance(event, OperatorHitReported):
            with self._lock:
                self._end_line()
                sys.stderr.write("".join(f"{line}\n" for line in hit_lines(event)))

    def close(self) -> None:
        """Write the trace, if there is one."""
        with self._lock:
            self._end_line()
        if self._tables or self._spans:
            self._folder.mkdir(parents=True, exist_ok=True)
            pieces = chrome_trace(
                self._tables,
                self._batches,
                spans=self._spans,
                counters=self._counters,
                process_name="python",
                clock_offset_ns=self._clock_offset_ns,
            )
            with (self._folder / "trace.json").open("w", encoding="utf-8") as file:
                file.writelines(pieces)

    def _print(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._end_line()
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()

    def _end_line(self) -> None:
        if self._has_line:
            self._has_line = False
            sys.stderr.write("\n")
            sys.stderr.flush()


class ChannelReporter:
    """Reports over a stream to the companion: frames of u32 length (little-endian), u8 kind, payload."""

    is_attended = True

    def __init__(self, stream: BinaryIO, debugger: Callable[[], StopAt | None] | None = None) -> None:
        self._debugger = debugger
        self._stream = stream
        self._lock = threading.Lock()

    def debugger(self) -> StopAt | None:
        """Ask the worker's own."""
        return None if self._debugger is None else self._debugger()

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Send the number."""
        self._send_event(MetricReported(name, value, step))

    def progress(self, progress: ProgressReported) -> None:
        """Send it."""
        self._send_event(progress)

    def result(self, values: dict[str, Any]) -> None:
        """Send the values."""
        self._send_event(ResultReported(values))

    def file(self, path: Path, name: str) -> None:
        """Name the file; the companion reads it before the task's folder goes."""
        report = {"type": "file", "path": str(path.resolve()), "name": name}
        self._send(JSON_FRAME, json.dumps(report, separators=(",", ":")).encode())

    def trace_started(self, event: TraceStarted) -> None:
        """Send the head of a trace."""
        self._send_event(event)

    def operator_table(self, table: OperatorTable) -> None:
        """Send the table."""
        self._send_event(table)

    def trace_batch(self, data: bytes) -> None:
        """Send the batch."""
        self._send(TRACE_FRAME, data)

    def operator_event(self, event: OperatorEvent) -> None:
        """Send the event."""
        self._send_event(event)

    def close(self) -> None:
        """Push out what is still buffered."""
        with self._lock:
            self._stream.flush()

    def _send_event(self, event: Event) -> None:
        self._send(JSON_FRAME, encode_event(event))

    def _send(self, kind: int, payload: bytes) -> None:
        with self._lock:
            self._stream.write(FRAME.pack(len(payload), kind) + payload)
            self._stream.flush()


class _Current:
    """The reporter of this process: a script has no other handle on it, so this is the one piece of global state."""

    reporter: Reporter = ConsoleReporter()


@atexit.register
def _close_at_exit() -> None:
    # A script has no last line of ours: what the console reporter collected is written when Python ends.
    with contextlib.suppress(OSError, ValueError):  # whoever listened may be gone first
        _Current.reporter.close()


def use(reporter: Reporter) -> None:
    """Send all further reports to `reporter`."""
    _Current.reporter = reporter


def current() -> Reporter:
    """Return where reports go now."""
    return _Current.reporter


def report_metric(name: str, value: SupportsFloat, step: int | None = None) -> None:
    """Report one finite number; with `step` it is a point of the curve `name`. Raises `InvalidInputError`."""
    metric = _checked(MetricReported, f"The metric {name!r}", {"name": name, "value": value, "step": step})
    current().metric(metric.name, metric.value, metric.step)


def report_result(**values: Any) -> None:
    """Report values of the task's result: anything that JSON holds, and numpy's numbers and arrays. Later calls add to it.

    Raises `InvalidInputError` for what JSON does not hold (NaN, for one) and for more than a message may hold.
    """
    current().result(dict(_checked(ResultReported, "The result", {"values": values}).values))


def report_file(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Report a file, to be brought back under `name` (by default its own), which may have folders: `plots/loss.png`.

    Raises `InvalidInputError` if there is no such file, `BundleError` if the name would lead out of the run's folder.
    """
    source = Path(path)
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "does not exist"
        raise InvalidInputError(f"The file {source} {what}.", hint="Report single files, once they are written.")
    name = source.name if name is None else str(name)
    try:
        check_bundle_path(name)
    except BundleError as error:
        raise BundleError(
            f"A file cannot be reported as {name!r}.",
            hint="Use a relative path with / and without '..'.",
            details={"reason": error.message},
        ) from None
    current().file(source, name)


def _checked(kind: type[_Report], what: str, record: dict[str, Any]) -> _Report:
    """Return the record as the message that it will travel in."""
    try:
        return decode(kind, _plain(record))
    except (InvalidInputError, RecursionError) as error:
        why = error.message if isinstance(error, InvalidInputError) else "it holds itself."
        raise InvalidInputError(
            f"{what} cannot be reported: {why}",
            hint="Report finite numbers, short texts, lists and dictionaries; larger data goes through report_file.",
            details=error.details if isinstance(error, InvalidInputError) else None,
        ) from None


def _plain(value: Any) -> Any:
    """Return `value` with the numbers and arrays of numpy (or torch) as Python's own. Raises `InvalidInputError` for objects."""
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise InvalidInputError(f"{type(value).__name__} has no form in JSON.")
