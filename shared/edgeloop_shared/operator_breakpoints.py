"""A breakpoint on operators as it travels to a device, and what is checked of one wherever it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from edgeloop_shared.bundles import MAX_PATH_CHARACTERS, check_bundle_path
from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.operator_conditions import MAX_CHARACTERS as MAX_CONDITION
from edgeloop_shared.operator_conditions import Condition
from edgeloop_shared.operator_hits import Phase
from edgeloop_shared.operator_selector import MAX_CHARACTERS as MAX_SELECTOR
from edgeloop_shared.operator_selector import Selector, parse_selector

NamedAction = Literal["report", "wait", "skip", "dump", "abort"]
ACTIONS: dict[NamedAction, str] = {
    "report": "report the statistics and go on",
    "wait": "stop there until somebody says how to go on",
    "skip": "leave the operator out, before it runs",
    "dump": "report the tensors as `.npy` files and go on",
    "abort": "end the run with `RunAbortedError`",
}
"""The actions that have names, and what each does. Each of them reports the hit's statistics as well."""

REPORTS = 100  # hits of one breakpoint that are reported, unless it says otherwise
MAX_BREAKPOINTS = 64  # of one run, from outside
HIT_PATTERN = r"^(==|>=|<=|>|<|%)? *[0-9]{1,9}$"
_HIT = re.compile(r"(==|>=|<=|>|<|%|) *([0-9]{1,9})")


@dataclass(frozen=True)
class OperatorBreakpointOrder:
    """A breakpoint on the operators of all models of a run, made outside of its script.

    `selector` and `when` are its two expressions, `hit` tells at which of the times that `when` holds it hits (`3`, `>= 3`, `% 2`),
    `reference` is a folder of `.npy` files among the run's files. With `first_only` it stops at the first operator of each run of
    a model, no more than `reports` hits are reported. Raises `InvalidInputError` for what cannot be.
    """

    id: str = field(metadata={"pattern": "^[a-z0-9]{1,32}$"})
    selector: str = field(metadata={"min_length": 1, "max_length": MAX_SELECTOR})
    when: str | None = field(default=None, metadata={"min_length": 1, "max_length": MAX_CONDITION})
    action: NamedAction = "report"
    hit: str | None = field(default=None, metadata={"pattern": HIT_PATTERN})
    reference: str | None = field(default=None, metadata={"min_length": 1, "max_length": MAX_PATH_CHARACTERS})
    first_only: bool = False
    reports: int = field(default=REPORTS, metadata={"ge": 0, "le": 1_000_000})

    def __post_init__(self) -> None:
        if self.reference is not None:
            check_bundle_path(self.reference)
        if self.hit is not None:
            check_hit(self.hit)
        check_operator_breakpoint(
            parse_selector(self.selector),
            None if self.when is None else Condition(self.when),
            is_skip=self.action == "skip",
            has_reference=self.reference is not None,
        )


def check_hit(text: str) -> None:
    """Raise `InvalidInputError` unless `text` says at which hits to stop."""
    if _HIT.fullmatch(text) is None:
        raise InvalidInputError(
            f"{printable(text, 40)!r} does not say at which hits to stop.",
            hint="Write a number or a comparison with one: `3`, `>= 3`, or `% 2` for every second.",
            details={"fields": [{"field": "hit_condition", "message": "is no number and no comparison"}]},
        )


def phase_of(selector: Selector, *, is_skip: bool) -> Phase:
    """Return at which side of its operators a breakpoint stops: what the selector says, else after them."""
    return selector.phase or ("before" if is_skip else "after")


def check_operator_breakpoint(
    selector: Selector, condition: Condition | None, *, is_skip: bool, has_reference: bool
) -> None:
    """Raise `InvalidInputError` where a selector, a condition and an action do not go together."""
    phase = phase_of(selector, is_skip=is_skip)
    if is_skip and phase == "after":
        raise InvalidInputError(
            "An operator cannot be skipped after it has run.",
            hint="Leave `after` out of the selector, or say `before`.",
        )
    if condition is None:
        return
    if phase == "before" and (condition.needs_reference or any(side == "out" for side, _ in condition.tensors)):
        raise InvalidInputError(
            f"The condition {condition} is about outputs, which do not exist before the operator.",
            hint="Break after it, or ask about `in[0]`.",
        )
    if condition.needs_reference and not has_reference:
        raise InvalidInputError(
            f"The condition {condition} compares with a reference, and none was given.",
            hint="Give a folder of .npy files, or a recording made by edgeloop_task.record().",
        )


def hit_is_meant(expression: str | None, number: int) -> bool:
    """Return whether a breakpoint hits when its condition holds for the `number`th time, counted from 1."""
    found = None if expression is None else _HIT.fullmatch(expression)
    if found is None:
        return True
    operation, wanted = found[1], int(found[2])
    match operation:
        case ">=":
            return number >= wanted
        case ">":
            return number > wanted
        case "<=":
            return number <= wanted
        case "<":
            return number < wanted
        case "%":
            return wanted > 0 and number % wanted == 0
    return number == wanted
