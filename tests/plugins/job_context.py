"""A job context that only remembers what it is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class RememberingContext:
    """A `JobContext` without a daemon."""

    workspace: Path
    folder: Path
    job_id: str = "j1"
    lines: list[str] = field(default_factory=list)
    metrics: list[tuple[str, int, float]] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)

    def progress(self, fraction: float | None, message: str = "") -> None:
        if fraction is not None:
            self.fractions.append(fraction)

    def log(self, message: str) -> None:
        self.lines.append(message)

    def metric(self, tag: str, step: int, value: float) -> None:
        self.metrics.append((tag, step, value))

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        return subprocess.run(command, cwd=folder, check=False).returncode
