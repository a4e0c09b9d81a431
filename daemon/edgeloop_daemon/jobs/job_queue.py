"""The queue of jobs that wait for a free place, fair between workspaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator


class JobQueue:
    """Jobs in the order in which they came. The next one is the first of the workspace with the fewest running jobs, so that
    one workspace's long queue does not keep another one waiting."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._waiting))

    def add(self, job: str, workspace: str) -> None:
        """Let a job wait."""
        self._waiting[job] = workspace

    def discard(self, job: str) -> bool:
        """Let a job wait no more; return whether it did."""
        return self._waiting.pop(job, None) is not None

    def take(self, running: Iterable[str]) -> tuple[str, str]:
        """Remove and return the next job and its workspace; `running` names the workspace of every running job."""
        load = Counter(running)
        job = min(self._waiting, key=lambda waiting: load[self._waiting[waiting]])  # the first of equals
        return job, self._waiting.pop(job)
