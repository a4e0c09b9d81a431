"""The nouns that both ends speak of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

# A peer's words are shown to people: no control characters (C1 steers terminals too), line separators or changes of direction.
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$"

MIN_MEMORY_MB, MAX_MEMORY_MB = 64, 1024**2  # bounds of a task's memory limit

DebugMode = Literal["off", "listen", "wait"]
"""Whether a task is begun under a debugger, and whether it waits for a client to attach to that."""


@dataclass(frozen=True)
class DeviceInfo:
    """What a device says of itself. It is the device's own word: shown, never trusted, never a path or a command.

    `model` is what its maker calls it, null where the platform does not tell.
    """

    name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    platform: str = field(metadata={"max_length": 64, "pattern": NAME_PATTERN})
    system: str = field(metadata={"max_length": 128, "pattern": NAME_PATTERN})
    processor: str = field(metadata={"max_length": 128, "pattern": NAME_PATTERN})
    cores: int = field(metadata={"ge": 1, "le": 4096})
    memory_bytes: int = field(metadata={"ge": 0})
    app_version: str = field(metadata={"max_length": 64, "pattern": NAME_PATTERN})
    python_version: str = field(metadata={"max_length": 64, "pattern": NAME_PATTERN})
    mnn_version: str = field(default="", metadata={"max_length": 64, "pattern": NAME_PATTERN})
    is_virtual: bool = False
    model: str | None = field(default=None, metadata={"max_length": 128, "pattern": NAME_PATTERN, "is_later": True})


class RunState(StrEnum):
    """The states of a task on a device; the last three are terminal."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
