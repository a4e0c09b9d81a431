"""Where a task's reports go: to the console on a PC, through a channel to the companion on a device."""

from __future__ import annotations

import atexit
import json
import shutil
import struct
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from edgeloop_shared.chrome_trace import chrome_trace
from edgeloop_shared.codec import encode
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.traces import OperatorTable, TraceBatch, unpack_batch

OUTPUT_FOLDER = Path("edgeloop-output")
FRAME = struct.Struct("<IB")
JSON_FRAME = 1
TRACE_FRAME = 2


class Reporter(Protocol):
    """Takes what a task reports."""

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Take one number."""

    def result(self, values: dict[str, Any]) -> None:
        """Take values of the task's result."""

    def file(self, path: Path, name: str) -> None:
        """Take a file that exists now; later changes to it do not matter."""

    def operator_table(self, table: OperatorTable) -> None:
        """Take the operators of a session that the following batches refer to."""

    def trace_batch(self, data: bytes) -> None:
        """Take a packed batch."""

    def close(self) -> None:
        """The task has ended."""


class ConsoleReporter:
    """Reports of a script that runs without a companion: lines of JSON on stdout, files and a trace in a folder."""

    def __init__(self, folder: Path = OUTPUT_FOLDER) -> None:
        self._folder = folder
        self._tables: list[OperatorTable] = []
        self._batches: list[TraceBatch] = []

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Print the number as a line of JSON."""
        self._print({name: value} if step is None else {"step": step, name: value})

    def result(self, values: dict[str, Any]) -> None:
        """Print the values as a line of JSON."""
        self._print(values)

    def file(self, path: Path, name: str) -> None:
        """Copy the file into the output folder."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(path)):
            shutil.copyfile(path, target)

    def operator_table(self, table: OperatorTable) -> None:
        """Keep the table for the trace."""
        self._tables.append(table)

    def trace_batch(self, data: bytes) -> None:
        """Keep the batch for the trace."""
        self._batches.append(unpack_batch(data))

    def close(self) -> None:
        """Write the trace, if there is one."""
        if self._tables:
            self._folder.mkdir(parents=True, exist_ok=True)
            trace = chrome_trace(self._tables, self._batches, process_name="python")
            (self._folder / "trace.json").write_text(json.dumps(trace))

    def _print(self, record: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


class ChannelReporter:
    """Reports over a stream to the companion: frames of u32 length (little-endian), u8 kind, payload."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Send the number."""
        self._send_json({"type": "metric", "name": name, "value": value, "step": step})

    def result(self, values: dict[str, Any]) -> None:
        """Send the values."""
        self._send_json({"type": "result", "values": values})

    def file(self, path: Path, name: str) -> None:
        """Name the file; the companion reads it before the task's folder goes."""
        self._send_json({"type": "file", "path": str(path.resolve()), "name": name})

    def operator_table(self, table: OperatorTable) -> None:
        """Send the table."""
        self._send_json({"type": "operator_table", **encode(table)})

    def trace_batch(self, data: bytes) -> None:
        """Send the batch."""
        self._send(TRACE_FRAME, data)

    def close(self) -> None:
        """Push out what is still buffered."""
        with self._lock:
            self._stream.flush()

    def _send_json(self, record: dict[str, Any]) -> None:
        self._send(JSON_FRAME, json.dumps(record, separators=(",", ":")).encode())

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
    _Current.reporter.close()


def use(reporter: Reporter) -> None:
    """Send all further reports to `reporter`."""
    _Current.reporter = reporter


def current() -> Reporter:
    """Return where reports go now."""
    return _Current.reporter


def report_metric(name: str, value: float, step: int | None = None) -> None:
    """Report one number; with `step` it is a point of the curve `name`."""
    number = float(value)
    if not _is_finite(number):
        raise InvalidInputError(f"The metric {name!r} is {number}, which is no finite number.")
    current().metric(str(name), number, None if step is None else int(step))


def report_result(**values: Any) -> None:
    """Report values of the task's result: anything that JSON holds, and numpy's numbers and arrays. Later calls add to it."""
    current().result({name: _plain(name, value) for name, value in values.items()})


def report_file(path: str | Path, name: str | None = None) -> None:
    """Report a file, to be brought back under `name` (by default its own). Raises `InvalidInputError` if it is not there."""
    source = Path(path)
    if not source.is_file():
        raise InvalidInputError(f"The file {source} does not exist.", hint="Write it before it is reported.")
    current().file(source, name or source.name)


def _is_finite(number: float) -> bool:
    return number - number == 0


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        value = value.tolist()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"The result {name!r} cannot be reported: {error}.",
            hint="Report numbers, texts, lists and dictionaries; larger data goes through report_file.",
        ) from None
    return value
