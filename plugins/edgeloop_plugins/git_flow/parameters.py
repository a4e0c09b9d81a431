"""The parameters and results of the Git operations."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SnapshotParameters:
    """What `git snapshot` asks for."""

    message: str = field(
        default="Snapshot", metadata={"min_length": 1, "max_length": 10_000, "description": "The commit's message"}
    )


@dataclass(frozen=True)
class Snapshot:
    """A recorded state: the commit, and the reference that keeps it."""

    commit: str
    ref: str
