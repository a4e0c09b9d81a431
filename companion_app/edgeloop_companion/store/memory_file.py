"""Files in which the app remembers what it shows; to lose one harms nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgeloop_shared.errors import MessageError

T = TypeVar("T")

log = logging.getLogger(__name__)


def load(path: Path, read: Callable[[bytes], tuple[T, ...]], max_bytes: int) -> tuple[T, ...]:
    """Return what `read` finds in the file at `path`; nothing where it is missing or damaged. Blocks.

    Of a file that is too long `read` is given `max_bytes` and one more; it raises `MessageError` for what no app has written.
    """
    try:
        with path.open("rb") as file:
            return read(file.read(max_bytes + 1))
    except FileNotFoundError:
        return ()
    except (MessageError, OSError) as error:
        log.warning("what %s remembers is forgotten: %s", path, error)
        return ()
