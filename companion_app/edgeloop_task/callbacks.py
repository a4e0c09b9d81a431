"""MNN's callbacks around every operator: what may happen in them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, TypeAlias

Callback: TypeAlias = Callable[[Sequence[Any], Any], bool]
Execute: TypeAlias = Callable[[Callback | None, Callback | None], int]
"""Runs a session once and returns MNN's code; under callbacks before and after each operator unless the second is None."""

_UNREADABLE = "(unreadable)"


class _HeldInterrupts:
    """A handler of SIGINT that only remembers it."""

    def __init__(self, replaced: Callable[[int, FrameType | None], Any]) -> None:
        self.replaced = replaced
        self.received = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True


@contextlib.contextmanager
def held_interrupts() -> Iterator[None]:
    """Let Ctrl-C wait while the block runs: an exception that it raises inside a callback would be lost in MNN."""
    in_main = threading.current_thread() is threading.main_thread()  # where alone Python handles signals
    handler = signal.getsignal(signal.SIGINT) if in_main else None
    if not callable(handler):
        yield
        return
    held = _HeldInterrupts(handler)
    signal.signal(signal.SIGINT, held)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held.received:
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def interrupts_again() -> Iterator[None]:
    """Let Ctrl-C through while the block runs, inside of one of `held_interrupts`: for code that catches what it raises."""
    in_main = threading.current_thread() is threading.main_thread()
    held = signal.getsignal(signal.SIGINT) if in_main else None
    if not isinstance(held, _HeldInterrupts):
        yield
        return
    signal.signal(signal.SIGINT, held.replaced)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, held)


def name_and_type(operator: Any) -> tuple[str, str]:
    """Return the two as text, whatever the model holds: an exception must not leave a callback."""
    try:
        return str(operator.getName()), str(operator.getType()).strip()
    except ValueError:  # not UTF-8
        return _UNREADABLE, _UNREADABLE
