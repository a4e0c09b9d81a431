"""How a process leaves its parent: it must go on when the parent ends, and be nobody's child to collect."""

from __future__ import annotations

import os
from collections.abc import Callable


def leave_parent() -> Callable[[], None]:
    """Go on in a child of this process; return how to let this process, for which the parent waits, end well.

    It ends with status 0 once the returned function is called, and with 1 if the child ends before.
    """
    began, begin = os.pipe()
    if os.fork():
        os.close(begin)
        os._exit(0 if os.read(began, 1) else 1)
    os.close(began)

    def report_begin() -> None:
        os.write(begin, b"1")
        os.close(begin)

    return report_begin
