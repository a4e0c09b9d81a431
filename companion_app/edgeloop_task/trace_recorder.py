"""What a process records while it is traced: spans that have ended and samples of counters, sent in packed batches."""

from __future__ import annotations

import math
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import TypeAlias, cast

from edgeloop_shared.spans import (
    MAX_ATTRIBUTES,
    MAX_BATCH_SPANS,
    MAX_DEPTH,
    MAX_LABELS,
    MAX_NAME,
    CounterBatch,
    CounterTexts,
    Label,
    Scalar,
    SpanBatch,
    SpanKind,
    SpanTexts,
    pack_counters,
    pack_spans,
)
from edgeloop_task import reporting

MAX_NODES = 4096  # different places of spans; later ones are all called "(other)"
MAX_PENDING = 50_000  # spans that wait to be sent
SEND_SPANS = 256
_MAX_TEXT = 24 * 1024  # of a batch's texts, estimated
_MAX_VALUE = 256
_OTHER = "(other)"


class Node:
    """A place in the tree of spans: what is called so within the same place is one."""

    __slots__ = ("children", "depth", "kind", "name", "parent")
    count = 0

    def __init__(self, kind: SpanKind, name: str, parent: Node | None) -> None:
        self.kind = kind
        self.name = name
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.children: dict[tuple[SpanKind, str], Node] = {}

    def child(self, kind: SpanKind, name: str) -> Node:
        """Return the place `name` in this one; below `MAX_DEPTH` this one."""
        found = self.children.get((kind, name))
        if found is not None:
            return found
        if self.depth >= MAX_DEPTH:
            return self
        if Node.count >= MAX_NODES:
            return _ROOT.children.setdefault((kind, _OTHER), Node(kind, _OTHER, _ROOT))
        Node.count += 1
        return self.children.setdefault((kind, name), Node(kind, name[:MAX_NAME] or _OTHER, self))


_ROOT = Node("span", "", None)
Attributes: TypeAlias = Mapping[str, object]
Recorded: TypeAlias = tuple[Node, str, int, int, int, int, Attributes | None]
"""A span that has ended: its place, its track, session, iteration, begin and duration in ns, attributes."""


def root() -> Node:
    """Return the place that all others lie in."""
    return _ROOT


def track() -> str:
    """Return the name of the present thread; within a task of asyncio with that, because tasks of a thread overlap."""
    thread = threading.current_thread().name
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    task = None if asyncio is None or loop is None else asyncio.current_task(loop)
    return thread if task is None else f"{thread} / {task.get_name()}"


class Recorder:
    """Collects and sends. `add` takes no lock: the garbage collector's callback may call it in the middle of anything."""

    def __init__(self) -> None:
        self._pending: deque[Recorded] = deque()
        self._samples: list[tuple[int, tuple[float, ...]]] = []
        self._names: tuple[str, ...] = ()
        self._lost = 0
        self._sending = threading.RLock()

    def add(self, span: Recorded) -> None:
        """Take a span; beyond `MAX_PENDING` of them it is counted as lost, and the next batch says so."""
        if len(self._pending) < MAX_PENDING:
            self._pending.append(span)
        else:
            self._lost += 1

    @property
    def is_due(self) -> bool:
        """Whether enough spans wait for a batch."""
        return len(self._pending) >= SEND_SPANS

    def sample(self, time_ns: int, names: tuple[str, ...], values: tuple[float, ...]) -> None:
        """Take the counters' values at a moment; NaN for one that could not be read."""
        with self._sending:
            if names != self._names:
                self._send_samples()
                self._names = names
            self._samples.append((time_ns, values))

    def send(self) -> None:
        """Send what waits."""
        with self._sending:
            while self._pending or self._lost:
                self._send_spans()
            self._send_samples()

    def _send_spans(self) -> None:
        labels, tracks = _Labels(), dict[str, int]()
        rows: list[Recorded] = []
        attributes: dict[str, dict[str, Scalar]] = {}
        size = 0
        while (
            self._pending
            and len(rows) < MAX_BATCH_SPANS
            and size < _MAX_TEXT
            and len(labels.found) < MAX_LABELS - MAX_DEPTH
        ):
            row = self._pending.popleft()
            size += labels.add(row[0])
            if row[1] not in tracks:
                tracks[row[1]] = len(tracks)
                size += len(row[1]) + 4
            if row[6]:
                attributes[str(len(rows))] = kept = plain_attributes(row[6])
                size += sum(len(name) + len(str(value)) + 8 for name, value in kept.items())
            rows.append(row)
        lost, self._lost = self._lost, 0
        texts = SpanTexts(tuple(labels.found), tuple(name[:MAX_NAME] or "?" for name in tracks), attributes)
        batch = SpanBatch(
            texts,
            [labels.numbers[row[0]] for row in rows],
            [tracks[row[1]] for row in rows],
            [row[2] for row in rows],
            [row[3] for row in rows],
            [row[4] for row in rows],
            [row[5] for row in rows],
            min(lost, 2**32 - 1),
        )
        reporting.current().trace_batch(pack_spans(batch))

    def _send_samples(self) -> None:
        samples, self._samples = self._samples, []
        if samples:
            times, values = [time for time, _ in samples], list(zip(*(values for _, values in samples), strict=True))
            reporting.current().trace_batch(pack_counters(CounterBatch(CounterTexts(self._names), times, values)))


class _Labels:
    """The labels of a batch, each behind the one it lies in."""

    def __init__(self) -> None:
        self.found: list[Label] = []
        self.numbers: dict[Node, int] = {_ROOT: -1}

    def add(self, node: Node) -> int:
        """Add a place with all that it lies in; return about how many bytes that takes."""
        if node in self.numbers:
            return 0
        assert node.parent is not None
        size = self.add(node.parent)
        self.numbers[node] = len(self.found)
        self.found.append(Label(node.kind, node.name, self.numbers[node.parent]))
        return size + len(node.name) + 40


def plain_attributes(given: Attributes) -> dict[str, Scalar]:
    """Return attributes as a batch may hold them: a few, short, and what is no finite number or text in Python's words for it."""
    kept: dict[str, Scalar] = {}
    for name, value in list(given.items())[:MAX_ATTRIBUTES]:
        is_whole = isinstance(value, int) and abs(value) < 2**63
        is_plain = is_whole or (isinstance(value, float) and math.isfinite(value))
        kept[name[:MAX_NAME]] = cast("Scalar", value) if is_plain else str(value)[:_MAX_VALUE]
    return kept


RECORDER = Recorder()
"""The recorder of this process: spans stand anywhere in a script, which has no other handle on it."""
