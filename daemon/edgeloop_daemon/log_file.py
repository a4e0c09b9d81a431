"""The daemon's log: a few files of bounded size, which a full disk may leave incomplete but not fill with tracebacks."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

BYTES = 5 * 1024 * 1024
FILES = 3  # older than the newest


class LogFile(logging.handlers.RotatingFileHandler):
    """Writes to `path`. What could not be written is told in one line as soon as one can be."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._failed = 0  # lines, since the last that was written
        self._reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; the standard library would print a traceback to stderr for each that the disk does not take."""
        missing, self._failed = self._failed, 0
        super().emit(record)
        if self._failed:
            self._failed += missing
        elif missing:
            told = f"The log may lack {missing} lines before this one: {self._reason}."
            super().emit(logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, None, None))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Count what the disk did not take; anything else is a bug in a log call, which is shown."""
        error = sys.exception()
        if isinstance(error, OSError):
            self._failed += 1
            self._reason = error.strerror or type(error).__name__
        else:
            super().handleError(record)
