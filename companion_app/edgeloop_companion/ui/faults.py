"""What happens when the code of a screen fails: the app goes on, since tasks run in it that must not end for that."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from kivy.base import ExceptionHandler, ExceptionManager

MAX_FAULTS, WITHIN_SECONDS = 20, 10.0
"""An app that fails oftener than that, with every frame say, ends: nobody can use it."""

log = logging.getLogger(__name__)


class FaultHandler(ExceptionHandler):
    """Writes faults to the log, and lets Kivy go on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MAX_FAULTS)

    def handle_exception(self, exception: BaseException) -> object:
        """Return whether Kivy is to go on or to raise `exception`."""
        if not isinstance(exception, Exception):
            return ExceptionManager.RAISE
        now = self._clock()
        if len(self._times) == MAX_FAULTS and now - self._times[0] < WITHIN_SECONDS:
            return ExceptionManager.RAISE
        self._times.append(now)
        log.error("a fault of the screens, which go on", exc_info=exception)
        return ExceptionManager.PASS


@contextlib.contextmanager
def outlived_faults() -> Iterator[None]:
    """Go on after faults of the screens for the block."""
    handler = FaultHandler()
    ExceptionManager.add_handler(handler)
    try:
        yield
    finally:
        ExceptionManager.remove_handler(handler)
