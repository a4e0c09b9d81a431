"""Breakpoints on operators, watchpoints on their tensors, and recordings: what is asked for, and which of them are on."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_breakpoints import (
    ACTIONS,
    REPORTS,
    NamedAction,
    OperatorBreakpointOrder,
    check_operator_breakpoint,
    hit_is_meant,
    phase_of,
)
from edgeloop_shared.operator_conditions import Condition
from edgeloop_shared.operator_hits import OperatorHitReported, Phase
from edgeloop_shared.operator_selector import Selector, parse_selector
from edgeloop_shared.operator_stops import SHOWN_NAMES, OperatorsMatched
from edgeloop_task import reporting
from edgeloop_task.operator_hit import Action, OperatorHit
from edgeloop_task.operator_waits import WAITS
from edgeloop_task.references import ReferenceFolder, References, reference_key, references_of

_ACTIONS: Mapping[NamedAction, Action] = {
    "report": lambda _hit: None,
    "wait": WAITS.wait,
    "skip": OperatorHit.skip,
    "dump": OperatorHit.dump,
    "abort": OperatorHit.abort,
}


class OperatorBreakpoint:
    """A breakpoint that is on while its `with` block runs, for all models and threads; made by `break_on` and `watch`.

    One that was made outside of the script has the `order` that says so.
    """

    def __init__(
        self,
        selector: Selector,
        condition: Condition | None,
        action: NamedAction | Action,
        *,
        references: References | None = None,
        reports: int = REPORTS,
        first_only: bool = False,
        order: OperatorBreakpointOrder | None = None,
    ) -> None:
        if isinstance(action, str) and action not in ACTIONS:
            raise InvalidInputError(
                f"There is no action {action!r}.", hint=f"Use {', '.join(ACTIONS)}, or a function that takes the hit."
            )
        self.selector = selector
        self.condition = condition
        self.order = order
        self.phase: Phase = phase_of(selector, is_skip=action == "skip")
        self.references = references
        self.reports = reports
        self.first_only = first_only
        self.action: Action = _ACTIONS[action] if isinstance(action, str) else action
        asks_inputs = condition is not None and any(side == "in" for side, _ in condition.tensors)
        self.needs_inputs = asks_inputs or action == "wait" or not isinstance(action, str)
        self._lock = threading.Lock()
        self._count = 0
        self._held = 0
        self._hits: list[OperatorHitReported] = []
        self._matches: dict[str, tuple[str, ...]] = {}
        check_operator_breakpoint(selector, condition, is_skip=action == "skip", has_reference=references is not None)

    def __str__(self) -> str:
        return f"{self.selector} when {self.condition}" if self.condition else str(self.selector)

    @property
    def hit_count(self) -> int:
        """How often it has hit."""
        return self._count

    @property
    def hits(self) -> tuple[OperatorHitReported, ...]:
        """The hits that were reported, in their order."""
        with self._lock:
            return tuple(self._hits)

    @property
    def matches(self) -> Mapping[str, tuple[str, ...]]:
        """Per model that has run meanwhile the names of the operators that the selector matches."""
        with self._lock:
            return dict(self._matches)

    def start(self) -> None:
        """Turn it on: runs that begin from now on obey it."""
        _On.change(lambda found: found if self in found else (*found, self))

    def stop(self) -> None:
        """Turn it off; a run under way still obeys it."""
        _On.change(lambda found: tuple(one for one in found if one is not self))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def holds_again(self) -> bool:
        """Count that its condition holds; return whether it hits this time."""
        if self.order is None:
            return True
        with self._lock:
            self._held += 1
            return hit_is_meant(self.order.hit, self._held)

    def count_hit(self) -> int:
        """Count a hit and return its number, from 1."""
        with self._lock:
            self._count += 1
            return self._count

    def keep(self, report: OperatorHitReported) -> None:
        """Keep what was reported of a hit."""
        with self._lock:
            self._hits.append(report)

    def resolve(self, model: str, names: tuple[str, ...]) -> None:
        """Learn which operators of a model are meant; say so once where it was made outside of the script, or none is."""
        with self._lock:
            is_new = model not in self._matches
            self._matches[model] = names
        if is_new and self.order is not None:
            shown = tuple(name[:200] for name in names[:SHOWN_NAMES])
            reporting.current().operator_event(
                OperatorsMatched(self.order.id, str(self), model[:1024], len(names), shown)
            )
        elif is_new and not names:
            sys.stderr.write(
                f"edgeloop: {printable(str(self))} matches no operator of {printable(model)}; "
                "a breakpoint on '*' shows their names.\n"
            )


class Recording(OperatorBreakpoint):
    """The outputs of operators as they were last, in memory or in a folder: references for another run; made by `record`."""

    def __init__(self, selector: Selector, folder: Path | None) -> None:
        super().__init__(selector, None, self._take, reports=0)
        self.needs_inputs = False
        self._folder = folder
        self._arrays: dict[str, NDArray[Any]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The outputs by their keys (the operator's name, `#1` behind it for output 1); none that went to a folder."""
        return self._arrays

    def output(self, key: str, /) -> NDArray[Any] | None:
        """Return the output that was recorded under `key`."""
        if self._folder is not None:
            return ReferenceFolder(self._folder).output(key)
        return self._arrays.get(key)

    def _take(self, hit: OperatorHit) -> None:
        for number, tensor in enumerate(hit.outputs):
            key = reference_key(hit.name, hit.occurrence, number)
            if self._folder is None:
                self._arrays[key] = tensor.array
            else:
                np.save(self._folder / f"{key}.npy", tensor.array)


class _On:
    """The breakpoints that are on, for the whole process: a script has no other handle on a run."""

    lock = threading.Lock()
    breakpoints: tuple[OperatorBreakpoint, ...] = ()

    @classmethod
    def change(cls, to: Callable[[tuple[OperatorBreakpoint, ...]], tuple[OperatorBreakpoint, ...]]) -> None:
        with cls.lock:
            cls.breakpoints = to(cls.breakpoints)


def are_any_on() -> bool:
    """Return whether any breakpoint is on."""
    return bool(_On.breakpoints)


def breakpoints_of(model: str, iteration: int) -> tuple[OperatorBreakpoint, ...]:
    """Return those that are on for this run of the model in the file `model`."""
    return tuple(
        one
        for one in _On.breakpoints
        if one.selector.iteration_matches(iteration) and one.selector.model_matches(model)
    )


def break_on(
    selector: str | Selector,
    when: str | None = None,
    *,
    action: NamedAction | Action = "report",
    reference: str | os.PathLike[str] | References | None = None,
    reports: int = REPORTS,
) -> OperatorBreakpoint:
    """Return a breakpoint on operators, for a `with` block: each run inside stops at those that `selector` names.

    `selector` is written as in `op:conv* before @3`, `when` as in `nan_count > 0`. At a hit the statistics are reported (on a PC:
    printed) and `action` is done: a name (see `edgeloop_shared.operator_breakpoints.ACTIONS`), or a function that takes the
    `OperatorHit` and may answer through its methods. What the function raises ends the run and is raised by it. At most `reports`
    hits are reported, all are counted. `reference` is for conditions about one: a folder of `.npy` files, or a recording.
    Raises `InvalidInputError`.
    """
    return _breakpoint(selector, when, action, reference, reports, first_only=False)


def watch(
    when: str,
    on: str | Selector = "*",
    *,
    action: NamedAction | Action = "report",
    reference: str | os.PathLike[str] | References | None = None,
    reports: int = REPORTS,
) -> OperatorBreakpoint:
    """Return a watchpoint, for a `with` block: each run inside stops at the first operator at which `when` holds.

    All operators are watched, or those that `on` selects; else it is as `break_on`.
    """
    return _breakpoint(on, when, action, reference, reports, first_only=True)


def record(folder: str | os.PathLike[str] | None = None, on: str | Selector = "*") -> Recording:
    """Return a recording, for a `with` block: it keeps the outputs of every operator that `on` selects, as references.

    They are kept in memory, or written to `folder` as `.npy` files. Of several runs the last one stays.
    """
    return Recording(_selector(on), None if folder is None else Path(folder).absolute())


def _breakpoint(
    selector: str | Selector,
    when: str | None,
    action: NamedAction | Action,
    reference: str | os.PathLike[str] | References | None,
    reports: int,
    *,
    first_only: bool,
) -> OperatorBreakpoint:
    return OperatorBreakpoint(
        _selector(selector),
        None if when is None else Condition(when),
        action,
        references=None if reference is None else references_of(reference),
        reports=reports,
        first_only=first_only,
    )


def _selector(selector: str | Selector) -> Selector:
    return parse_selector(selector) if isinstance(selector, str) else selector
