"""How far a script is: said as often as it likes, told a few times a second."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import Any, SupportsFloat

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.progress import MAX_PROGRESS, MAX_PROGRESS_TEXT, ProgressReported
from edgeloop_task import reporting

TELL_SECONDS = 0.25
"""Between two times that progress is told, as for transfers."""
_NO_NUMBER = (TypeError, ValueError, RuntimeError)
"""What a comparison raises for texts, and for arrays (and torch's tensors) of several numbers."""
_Said = tuple[float, float | None, str]


class _Pace:
    """Tells the first of what is said at once, and what comes soon after it a moment later, the newest alone.

    While a timer runs `say` costs no more than a look at it: the order of its two steps, and of those in `_tell_later`, sees to it
    that the last one is told.
    """

    def __init__(self) -> None:
        self._newest: _Said | None = None
        self._told: _Said | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()  # one is told after the other

    def say(self, said: _Said) -> None:
        """Take how far the script is."""
        self._newest = said
        if self._timer is None:
            with self._lock:
                if self._timer is None:
                    self._tell()
                    self._begin_timer()

    def end(self) -> None:
        """Tell what is not told yet."""
        with self._lock:
            self._tell()

    def _begin_timer(self) -> None:
        timer = threading.Timer(TELL_SECONDS, self._tell_later)
        timer.daemon = True
        timer.name = "edgeloop-progress"
        timer.pydev_do_not_trace = True  # type: ignore[attr-defined]  # how a debugger is told not to stop it
        timer.is_pydev_daemon_thread = True  # type: ignore[attr-defined]  # and that no user wants to see it
        with contextlib.suppress(
            RuntimeError
        ):  # no thread can begin, such as while Python ends: then all is told at once
            timer.start()
            self._timer = timer

    def _tell_later(self) -> None:
        with self._lock:
            self._timer = None
            if self._newest is not self._told:
                with contextlib.suppress(OSError, ValueError):  # whoever listened may be gone first
                    self._tell()
                self._begin_timer()

    def _tell(self) -> None:
        said = self._newest  # which others may replace meanwhile, but never clear
        if said is not None and said is not self._told:
            self._told = said
            done, total, text = said
            reporting.current().progress(ProgressReported(done, total, _line(text)))


_PACE = _Pace()  # of the process, as its reporter is
if hasattr(os, "register_at_fork"):  # a child has neither the timer nor what its parent has said
    os.register_at_fork(after_in_child=_PACE.__init__)  # type: ignore[misc]


@atexit.register
def _end_at_exit() -> None:
    # Before the reporter is closed: what is registered later is called earlier.
    with contextlib.suppress(OSError, ValueError):
        _PACE.end()


def report_progress(done: SupportsFloat, total: SupportsFloat | None = None, text: str = "") -> None:
    """Report that `done` of `total` is done, in any unit (images, bytes, a fraction of 1); `text` says in a few words what.

    Without `total` nobody can know how much there is. It may be called in the tightest loop: it is told four times a second at
    most, and always the last. `text` is cut after 200 characters. Raises `InvalidInputError` for what is no such number.
    """
    amount: Any = done  # what compares with numbers is one: a Decimal, numpy's and torch's
    most: Any = MAX_PROGRESS if total is None else total
    try:
        is_valid = isinstance(text, str) and 0 <= amount <= most <= MAX_PROGRESS
    except _NO_NUMBER:
        is_valid = False
    if not is_valid:
        raise _misfit(done, total, text)
    _PACE.say((float(done), None if total is None else float(total), text))


def _misfit(done: object, total: object, text: object) -> InvalidInputError:
    """Return what is wrong with the arguments."""
    hint = "Count up from 0 to total, as in report_progress(3, 10, 'resizing'); leave total out where it is not known."
    for name, value in (("done", done), ("total", total)):
        try:
            is_amount = value is None or bool(0 <= value <= MAX_PROGRESS)  # type: ignore[operator]
        except _NO_NUMBER:
            is_amount = False
        if not is_amount or (name == "done" and value is None):
            return InvalidInputError(
                f"Progress cannot be reported: {name} is {_shown(value)}, and no number from 0 to 2**53.", hint=hint
            )
    if not isinstance(text, str):
        return InvalidInputError(f"Progress cannot be reported: text is {_shown(text)}, and no text.", hint=hint)
    return InvalidInputError(f"Progress cannot be reported: done is {done}, more than the total of {total}.", hint=hint)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _line(text: str) -> str:
    """Return a text as one line that a message may hold."""
    text = text[:MAX_PROGRESS_TEXT]
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)
