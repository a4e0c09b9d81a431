"""One companion at a time uses a state folder, with a screen or without."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.bounded_output import bounded_output
from edgeloop_shared.errors import ConflictError
from edgeloop_shared.process_lock import held


@contextlib.contextmanager
def locked_state_folder(path: Path) -> Iterator[StateFolder]:
    """Hold the state folder at `path` for the block; what this process prints into it is kept short.

    Raises `ConflictError` when another companion uses it, `InvalidInputError` when it belongs to another user, `OSError`.
    """
    state_folder = StateFolder(path)
    with held(state_folder.lock) as is_ours:
        if not is_ours:
            raise ConflictError(
                f"Another companion uses the state folder {path}.",
                hint="Stop it, or give this one a folder of its own with --state.",
            )
        with bounded_output(*state_folder.outputs):
            yield state_folder
