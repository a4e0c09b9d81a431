"""The file in which the app remembers its last tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_companion.runtime.storage import write_private
from edgeloop_companion.store import memory_file
from edgeloop_companion.store.task import Task
from edgeloop_shared.codec import decode_json, encode_json

MAX_TASKS = 100
MAX_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class _File:
    version: int = field(metadata={"ge": 1, "le": 1})
    tasks: tuple[Task, ...] = field(metadata={"max_length": MAX_TASKS})


def read_tasks(data: bytes) -> tuple[Task, ...]:
    """Return the tasks in the content of the file, the newest first. Raises `MessageError` for what no app has written."""
    return decode_json(_File, data, max_bytes=MAX_BYTES).tasks


def load_tasks(path: Path) -> tuple[Task, ...]:
    """Return the tasks in the file at `path`; none where it is missing or damaged: they are only a memory. Blocks."""
    return memory_file.load(path, read_tasks, MAX_BYTES)


def save_tasks(path: Path, tasks: Sequence[Task]) -> None:
    """Write the first `MAX_TASKS` tasks, fewer when they are too long. Blocks; raises `OSError`."""
    kept = tuple(tasks[:MAX_TASKS])
    while len(data := encode_json(_File(1, kept))) > MAX_BYTES:
        kept = kept[: len(kept) // 2]
    write_private(path, data)
