"""A worker's guardian: `python -m edgeloop_companion.runtime.guardian FOLDER`.

It starts the worker in a process group of its own, writes what comes out of it into the run's journal, and says at the end
how it ended. It outlives the companion: a companion that is started anew finds the run where it is. Liveness is the
lock on the run's folder, never a process id. SIGTERM cancels the run: SIGTERM to the worker's group, and SIGKILL soon after.
It imports little, because one of these processes stands beside every running script.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from edgeloop_companion.runtime.journal import JournalWriter, Kind, join_lines, pack_entry
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.run_folder import RunFolder, WorkerEnd
from edgeloop_companion.runtime.streams import FrameSplitter, LineSplitter
from edgeloop_shared import process_lock
from edgeloop_shared.detachment import leave_parent

TERMINATE_SECONDS = 2.0
LINGER_SECONDS = 1.0  # for which pipes that a dead worker's own children hold open are still read
FULL_DISK_SECONDS = 30.0
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MAX_REPORT_BYTES = 4 * 1024**2
MAX_WORD_BYTES = 1024 * 1024
KEPT_LINES = 40
_READ_BYTES = 64 * 1024
_TICK_SECONDS = 0.25
URGENT = b"!"  # to the companion: more than output has come, see `runtime.wake`

VANISHED = "companion-vanished"
DISK_FULL = "disk-full"

Feed = Callable[[bytes, bool], list[bytes]]
"""Turns bytes of a pipe (and whether they are its last) into packed entries."""


class Guardian:
    """Watches over one worker from here until nothing of it is left."""

    def __init__(self, folder: RunFolder, order: Order, journal: JournalWriter, worker: int, pipes: list[int]) -> None:
        self._folder = folder
        self._order = order
        self._journal = journal
        self._worker = worker
        self._last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        stdout, stderr, reports, self._words = pipes
        self._pipes: dict[int, Feed] = {
            self._words: _words(),
            stdout: self._output(Kind.STDOUT),
            stderr: self._output(Kind.STDERR),
            reports: _reports(),
        }
        self._outputs = (stdout, stderr)
        for pipe in pipes:
            os.set_blocking(pipe, False)
        self._wake = _open_wake(folder.wake)
        self._signals, signalled = os.pipe()
        for end in (self._signals, signalled):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        self._pending: list[bytes] = []
        self._is_urgent = False
        self._status: int | None = None
        self._heard_at = self._seen_companion = self._next_look = time.monotonic()
        self._blocked_since: float | None = None
        self._lost_bytes = 0
        self._kill_at: float | None = None
        self._reason: str | None = None
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes `select`
        signal.signal(signal.SIGTERM, self._terminate)

    def watch(self) -> WorkerEnd:
        """Write the journal until the worker has ended and all that came out of it is there; return how it ended."""
        while True:
            now = time.monotonic()
            if self._status is None and (status := self._reap()) is not None:
                self._status, self._heard_at = status, now
            self._look_for_companion(now)
            if self._kill_at is not None and now > self._kill_at:
                self._signal_group(signal.SIGKILL)
            if not self._write(now):
                select.select([self._signals], [], [], _TICK_SECONDS)
                continue
            if self._status is not None and not self._pipes:
                return WorkerEnd(
                    _code(self._status), tuple(self._last_lines), self._reason, self._lost_bytes, _peak_bytes()
                )
            self._listen()
            if self._status is not None and time.monotonic() - self._heard_at > LINGER_SECONDS:
                for pipe in tuple(self._pipes):  # its own children hold them open
                    self._end_pipe(pipe)

    def _look_for_companion(self, now: float) -> None:
        if now < self._next_look:
            return
        self._next_look = now + 1.0
        if process_lock.is_held(Path(self._order.companion)):
            self._seen_companion = now
        elif now - self._seen_companion > self._order.vanish_seconds:
            self._end(VANISHED)

    def _write(self, now: float) -> bool:
        """Write what waits; return False when the disk is full.

        After `FULL_DISK_SECONDS` of that the worker is ended, and what it still says is counted as lost.
        """
        if not self._pending:
            return True
        try:
            self._journal.append(b"".join(self._pending))
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            self._blocked_since = self._blocked_since or now
            if now - self._blocked_since > FULL_DISK_SECONDS:
                self._end(DISK_FULL)
            if self._status is None or self._reason is None:
                return False
            self._lost_bytes += sum(map(len, self._pending))
        else:
            self._blocked_since = None
            self._tell(URGENT if self._is_urgent else b".")
        self._is_urgent = False
        self._pending.clear()
        return True

    def _listen(self) -> None:
        """Wait a moment for something of the worker; while the companion is far behind, the worker waits instead."""
        may_read = self._status is not None or not self._journal.is_full
        sources = [self._signals, *self._pipes] if may_read else [self._signals]
        ready = select.select(sources, [], [], _TICK_SECONDS if may_read else _TICK_SECONDS / 5)[0]
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 4096)
        if may_read:
            for pipe in dict.fromkeys((self._words, *ready)):  # the start comes before all that follows it
                if pipe in self._pipes:
                    self._read(pipe)

    def tell_end(self) -> None:
        """Wake the companion a last time."""
        self._tell(URGENT)

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._end_pipe(pipe)
            return
        self._heard_at = time.monotonic()
        self._take(pipe, self._pipes[pipe](data, False))

    def _end_pipe(self, pipe: int) -> None:
        feed = self._pipes.pop(pipe)
        os.close(pipe)
        self._take(pipe, feed(b"", True))

    def _take(self, pipe: int, entries: list[bytes]) -> None:
        self._pending += entries
        self._is_urgent = self._is_urgent or (bool(entries) and pipe not in self._outputs)

    def _output(self, kind: Kind) -> Feed:
        splitter = LineSplitter()

        def feed(data: bytes, final: bool) -> list[bytes]:
            lines = list(splitter.feed(data, final=final))
            self._last_lines.extend(line[:1000] for line in lines[-KEPT_LINES:])
            return [pack_entry(kind, time.time_ns(), join_lines(lines))] if lines else []

        return feed

    def _tell(self, hint: bytes) -> None:
        if self._wake is not None:
            with contextlib.suppress(OSError):  # full: it has hints enough
                os.write(self._wake, hint)

    def _reap(self) -> int | None:
        """Return the wait status of a worker that has ended, and end what it left behind in its group."""
        if hasattr(os, "waitid"):  # while it is a zombie its number belongs to no other process
            if os.waitid(os.P_PID, self._worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self._signal_group(signal.SIGKILL)
            return os.waitpid(self._worker, 0)[1]
        process_id, status = os.waitpid(self._worker, os.WNOHANG)
        if not process_id:
            return None
        self._signal_group(signal.SIGKILL)
        return status

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            self._terminate()

    def _terminate(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + TERMINATE_SECONDS
            self._signal_group(signal.SIGTERM)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(self._worker, number)


def _reports() -> Feed:
    splitter = FrameSplitter(MAX_REPORT_BYTES)

    def feed(data: bytes, _final: bool) -> list[bytes]:
        return [_report(frame) for frame in splitter.feed(data)]  # a half one at the end is dropped: its writer died

    return feed


def _report(frame: tuple[int, bytes] | int) -> bytes:
    if isinstance(frame, int):
        reason = f"it has {frame} bytes, and the limit is {MAX_REPORT_BYTES}"
        return pack_entry(Kind.UNUSABLE, time.time_ns(), reason.encode())
    return pack_entry(Kind.REPORT, time.time_ns(), bytes([frame[0]]) + frame[1])


def _words() -> Feed:
    buffer = bytearray()

    def words() -> Iterator[bytes]:
        while b"\n" in buffer:
            line, _, rest = bytes(buffer).partition(b"\n")
            buffer[:] = rest
            yield pack_entry(Kind.WORD, time.time_ns(), line)
        if len(buffer) > MAX_WORD_BYTES:
            buffer.clear()

    def feed(data: bytes, _final: bool) -> list[bytes]:
        buffer.extend(data)
        return list(words())

    return feed


def _open_wake(path: Path) -> int | None:
    try:
        # For both directions: so it neither waits for a reader nor ends when there is none for a while.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def _code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def guard(folder: RunFolder, report_begin: Callable[[], None] = lambda: None) -> None:
    """Start the worker of the run in `folder` and watch over it until it has ended; do nothing if another one has, or had, it.

    `report_begin` is called once the run is this process's. The worker itself never returns from here: it raises `SystemExit`.
    """
    order = folder.order()
    go, release = os.pipe()
    lifeline, hold = os.pipe()
    pipes = [os.pipe() for _ in range(4)]
    # The worker is forked before the lock is taken: it must not hold it as well.
    worker = os.fork()
    if not worker:
        os.setpgid(0, 0)
        for end in (release, hold, *(reading for reading, _ in pipes)):
            os.close(end)
        if not os.read(go, 1):
            os._exit(0)  # another guardian has this run, or had it
        os.close(go)
        _become_worker(folder, order, lifeline, [writing for _, writing in pipes])
    for end in (go, lifeline, *(writing for _, writing in pipes)):
        os.close(end)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(worker, worker)  # whoever comes first
    with process_lock.held(folder.lock) as is_mine:
        if not is_mine or folder.has_begun:
            return
        guardian = Guardian(folder, order, JournalWriter(folder.root), worker, [reading for reading, _ in pipes])
        report_begin()
        os.write(release, b"1")
        os.close(release)
        folder.write_end(guardian.watch())
    guardian.tell_end()


def _become_worker(folder: RunFolder, order: Order, lifeline: int, pipes: list[int]) -> None:
    from edgeloop_companion.runtime import worker  # here, because a guardian has no use for what it loads

    stdout, stderr, reports, words = pipes
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    sys.exit(worker.run(order, folder, lifeline, reports, words))


def main() -> None:
    """Leave the companion and guard the run in the folder that the first argument names."""
    # The process that the companion started ends as soon as the worker is let go: from then on the lock alone tells.
    report_begin = leave_parent()
    os.chdir(sys.argv[1])
    guard(RunFolder(Path.cwd()), report_begin)


if __name__ == "__main__":
    main()
