"""What native code prints: MNN says why something failed only on the process's own stdout and stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

MAX_BYTES = 64 * 1024
_LOCK = threading.RLock()  # the descriptors belong to the whole process: two captures at once would end up swapped


class NativeOutput:
    """The lines that were printed during a `capture` block; empty until it has ended."""

    def __init__(self) -> None:
        self.lines: tuple[str, ...] = ()


@contextlib.contextmanager
def capture() -> Iterator[NativeOutput]:
    """Catch what is written to file descriptors 1 and 2 during the block, by C++ and Python alike, at most 64 KiB.

    It concerns the whole process, so another thread's prints are caught as well: keep the block short.
    """
    output = NativeOutput()
    _flush()
    with _LOCK, tempfile.TemporaryFile() as file:
        saved = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield output
        finally:
            _flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            file.seek(0)
            text = file.read(MAX_BYTES).decode(errors="replace")
            output.lines = tuple(line.rstrip() for line in text.splitlines() if line.strip())


def _flush() -> None:
    """Push out what Python has buffered, so that it ends up on the right side of a switch."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as in an app without a console
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
