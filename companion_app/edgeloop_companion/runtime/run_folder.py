"""A run's folder: what a companion that is started anew needs to go on with the run where the last one stopped.

`command.json` and `cancelled`: the companion. `order.json` and, where there are any, `breakpoints.json` (those on operators): the
companion, before the worker begins. `lock`: the worker's
guardian holds it for its life. `journal.*`: the guardian appends, the companion removes what it has passed on. `wake`: a
pipe that tells the companion of new entries. `control`: the worker's control socket. `end`: the guardian, once; its space is
set aside before the worker begins, so that a full disk does not hide how the run ended. `spool.*`: the companion's records,
see `link.spool`. `files/` is what the script works in, `reported/` holds copies of the files that it reported.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from edgeloop_companion.runtime.journal import has_journal, remove_journal
from edgeloop_companion.runtime.order import Order
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import MessageError

MAX_ORDER_BYTES = 1024 * 1024
END_BYTES = 64 * 1024
_KEPT_CHARACTERS = 10_000

Canceller = Literal["computer", "device", "app"]
"""Who ends a run early: its user, the user of the device, or the app when it is closed or the computer switched off."""
CANCELLERS: tuple[Canceller, ...] = get_args(Canceller)


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended: its exit code (a negative one is the signal) and its last lines.

    `reason` says why its guardian ended it, `lost_bytes` how much of its output found no room on the disk. `peak_bytes` is
    the most memory that it held at once.
    """

    code: int
    last_lines: tuple[str, ...] = ()
    reason: str | None = None
    lost_bytes: int = 0
    peak_bytes: int = 0


@dataclass(frozen=True)
class RunFolder:
    """The paths in one run's folder."""

    root: Path
    files: Path = field(init=False)
    reported: Path = field(init=False)
    lock: Path = field(init=False)
    wake: Path = field(init=False)
    control: Path = field(init=False)
    command: Path = field(init=False)
    breakpoints: Path = field(init=False)

    def __post_init__(self) -> None:
        for name in ("files", "reported", "lock", "wake", "control"):
            object.__setattr__(self, name, self.root / name)
        for name in ("command", "breakpoints"):
            object.__setattr__(self, name, self.root / f"{name}.json")

    @property
    def has_begun(self) -> bool:
        """Whether a worker runs or ran here: it is never started again."""
        return has_journal(self.root)

    def cancelled(self) -> Canceller | None:
        """Return who wants the run to end early, if anybody does."""
        with contextlib.suppress(FileNotFoundError):
            words = (self.root / "cancelled").read_bytes()
            return next((one for one in CANCELLERS if one.encode() == words), "computer")
        return None

    def mark_cancelled(self, canceller: Canceller) -> None:
        """Say so, for every later companion too; who was first stays."""
        path = self.root / "cancelled"
        # Without space on the disk the running companion still knows.
        with contextlib.suppress(OSError), path.open("xb") as file:
            file.write(canceller.encode())

    def write_order(self, order: Order) -> None:
        """Leave everything that a worker needs to begin."""
        (self.root / "order.json").write_bytes(encode_json(order))
        with (self.root / "end").open("wb") as file:
            file.write(b" " * END_BYTES)
        with contextlib.suppress(FileExistsError, OSError):  # without it the companion looks at the journal regularly
            os.mkfifo(self.wake, 0o600)

    def order(self) -> Order:
        """Return what `write_order` was given."""
        return decode_json(Order, (self.root / "order.json").read_bytes(), max_bytes=MAX_ORDER_BYTES)

    def write_end(self, end: WorkerEnd) -> None:
        """Say how the worker ended, in the space that was set aside."""
        longest = _KEPT_CHARACTERS // max(1, len(end.last_lines))
        kept = replace(end, last_lines=tuple(line[:longest] for line in end.last_lines))
        with (self.root / "end").open("r+b") as file:
            file.write(encode_json(kept))

    def end(self) -> WorkerEnd | None:
        """Return how the worker ended, or None when nothing says so (yet)."""
        with contextlib.suppress(FileNotFoundError, MessageError):
            return decode_json(WorkerEnd, (self.root / "end").read_bytes(), max_bytes=END_BYTES)
        return None

    def remove_work(self) -> None:
        """Remove everything of the worker; what its records say is in the spool."""
        remove_tree(self.files)
        remove_tree(self.reported)
        remove_journal(self.root)

    def remove(self) -> None:
        """Remove the folder, whatever the task did to it."""
        remove_tree(self.root)


def remove_tree(folder: Path) -> None:
    """Remove a folder, also when a task has taken away the right to list or change its own folders, or another removes it too."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
