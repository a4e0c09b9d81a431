"""Breakpoints on operators that were made outside of the script: before it began, or while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.operator_conditions import Condition
from edgeloop_shared.operator_selector import parse_selector
from edgeloop_task.operator_breakpoint import OperatorBreakpoint
from edgeloop_task.references import ReferenceFolder


class OutsideBreakpoints:
    """Those of this process. `files` is the folder in which references lie."""

    def __init__(self, files: Path) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._on: dict[OperatorBreakpointOrder, OperatorBreakpoint] = {}

    def set(self, orders: Iterable[OperatorBreakpointOrder]) -> None:
        """Have these on, and no others from outside; one that is on already goes on counting.

        Raises `NotFoundError` for a folder of references that is not there; then nothing changes.
        """
        with self._lock:
            wanted = {order: self._on.get(order) or self._made(order) for order in orders}
            for order, one in self._on.items():
                if order not in wanted:
                    one.stop()
            for one in wanted.values():
                one.start()
            self._on = wanted

    def _made(self, order: OperatorBreakpointOrder) -> OperatorBreakpoint:
        return OperatorBreakpoint(
            parse_selector(order.selector),
            None if order.when is None else Condition(order.when),
            order.action,
            references=None if order.reference is None else ReferenceFolder(self._files / order.reference),
            reports=order.reports,
            first_only=order.first_only,
            order=order,
        )
