"""What a worker is told to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

WAIT_SECONDS = 600.0
VANISH_SECONDS = 30.0  # for how long a worker goes on without a companion: as long as the daemon waits for a device


@dataclass(frozen=True)
class Order:
    """One script to run, its path relative to the folder of the task's files. Lies as JSON in the run's folder.

    `memory_bytes` bounds what the script may allocate. `companion` is the lock file that a living companion holds: without
    one for `vanish_seconds` the worker ends itself. With `debug` a debugger is made ready before the script begins; with `wait`
    it begins when a client has attached, for which it waits at most `wait_seconds`.
    """

    script: str
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    trace: bool = False
    memory_bytes: int | None = None
    companion: str = ""
    vanish_seconds: float = VANISH_SECONDS
    debug: Literal["listen", "wait"] | None = None
    wait_seconds: float = WAIT_SECONDS
