"""A limit to what a process prints into files: of its standard output and standard error, the newest part is kept.

A background process prints into files that whoever started it has opened. They cannot be rotated, because libraries print to the
descriptors as well: so they are shortened in place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

LIMIT_BYTES = 1024 * 1024
CHECK_SECONDS = 2.0
_OUTPUTS = (1, 2)


@contextlib.contextmanager
def bounded_output(*paths: Path, limit: int = LIMIT_BYTES, seconds: float = CHECK_SECONDS) -> Iterator[None]:
    """For the block, keep those of `paths` short that this process prints to.

    Every `seconds`, and in the end, one that has grown beyond `limit` bytes loses its beginning: half of the limit stays. What is
    printed in the moment of shortening may be lost or come before that. Files that are not standard output or standard error are
    left alone.
    """
    printed = [(path, descriptor) for path in paths for descriptor in _OUTPUTS if _is_at(path, descriptor)]
    for _, descriptor in printed:  # who writes at a position of its own would leave a hole before it
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    has_ended = threading.Event()

    def check() -> None:
        while True:
            is_last = has_ended.wait(seconds)
            for path, descriptor in printed:
                with contextlib.suppress(OSError):  # a disk that is full or gone now is none later
                    _shorten(path, descriptor, limit)
            if is_last:
                return

    if not printed:
        yield
        return
    thread = threading.Thread(target=check, name="bounded output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


def _is_at(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _shorten(path: Path, descriptor: int, limit: int) -> None:
    size = os.fstat(descriptor).st_size
    if size <= limit or not _is_at(path, descriptor):
        return
    with path.open("rb") as file:
        file.seek(size - limit // 2)
        kept = file.read()
    os.ftruncate(descriptor, 0)
    os.write(descriptor, kept[kept.find(b"\n") + 1 :])  # whole lines
