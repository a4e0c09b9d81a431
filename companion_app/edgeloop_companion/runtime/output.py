"""Lines of a run's log as the payloads of records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Literal

from edgeloop_shared.run_events import LogLine

MAX_BATCH_BYTES = 48 * 1024

Source = Literal["stdout", "stderr", "system"]

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def pack_lines(lines: Iterable[LogLine]) -> Iterator[bytes]:
    """Yield payloads of the log stream, each as many whole lines as fit: a chatty script costs few records."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        for encoded in _encode(line):
            if size + len(encoded) + 1 > MAX_BATCH_BYTES:
                yield b"\n".join(waiting)
                waiting, size = [], 0
            waiting.append(encoded)
            size += len(encoded) + 1
    if waiting:
        yield b"\n".join(waiting)


def _encode(line: LogLine) -> Iterator[bytes]:
    """Yield the line as JSON; in halves when escapes make it too long for a record."""
    # By hand, because there may be a hundred thousand of them and the event loop waits: `json.dumps` takes twice as long.
    record = f'{{"time_ns":{line.time_ns},"source":"{line.source}","text":{_quoted(line.text)}}}'
    encoded = record.encode(errors="replace")
    if len(encoded) < MAX_BATCH_BYTES:
        yield encoded
        return
    middle = len(line.text) // 2
    yield from _encode(LogLine(line.time_ns, line.source, line.text[:middle]))
    yield from _encode(LogLine(line.time_ns, line.source, line.text[middle:]))
