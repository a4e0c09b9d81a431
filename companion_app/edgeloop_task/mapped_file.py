"""A file's bytes without a copy of them in memory."""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeloop_shared.errors import ModelError, NotFoundError

Bytes = bytes | mmap.mmap


@contextmanager
def mapped_file(path: Path) -> Iterator[mmap.mmap]:
    """Yield the bytes of the model file at `path`.

    Raises `NotFoundError` if there is no such file or it may not be read, and `ModelError` if it is empty.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # before it is opened: a pipe would wait for a writer
            what = "is not a file: it is a folder" if stat.S_ISDIR(status.st_mode) else "is not a file"
            raise NotFoundError(f"The model {path} {what}.", hint="Name the model file itself.")
        if not status.st_size:
            raise ModelError(f"The model {path} is empty.", hint="Write it again; an earlier step has probably failed.")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {reason}"
        raise NotFoundError(f"The model {path} {what}.", hint="Check the path.") from error
    with file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data
