"""A run that waits at an operator: what is told of it, and what a breakpoint has found to stop at."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_shared.codec import printable
from edgeloop_shared.operator_hits import (
    MAX_BREAKPOINT_CHARACTERS,
    MAX_HIT_TENSORS,
    Answer,
    OperatorHitReported,
    TensorSummary,
    type_words,
)

SHOWN_NAMES = 20  # of the operators that a breakpoint matches

_TENSORS = {"max_length": MAX_HIT_TENSORS}
_STOP = {"ge": 1}


@dataclass(frozen=True)
class OperatorStopped:
    """A run waits at an operator until it is told how to go on. `stop` counts the stops of its process from 1.

    `hit` is what a breakpoint reports of it. `inputs` and `outputs` are the operator's tensors as far as they are there: before the
    operator it has no outputs. With `in_debugger` a debugger has the thread, and only there it goes on.
    """

    stop: int = field(metadata=_STOP)
    hit: OperatorHitReported
    inputs: tuple[TensorSummary, ...] = field(metadata=_TENSORS)
    outputs: tuple[TensorSummary, ...] = field(metadata=_TENSORS)
    in_debugger: bool = False


@dataclass(frozen=True)
class OperatorResumed:
    """A run that waited at an operator goes on."""

    time_ns: int
    stop: int = field(metadata=_STOP)
    answer: Answer


@dataclass(frozen=True)
class OperatorsMatched:
    """How many operators of a model a breakpoint from outside (`id`, in words `breakpoint`) is for; `names` are the first ones.

    It is reported after the first run of the model, which shows its operators.
    """

    id: str = field(metadata={"pattern": "^[a-z0-9]{1,32}$"})
    breakpoint: str = field(metadata={"min_length": 1, "max_length": MAX_BREAKPOINT_CHARACTERS})
    model: str = field(metadata={"max_length": 1024})
    count: int = field(metadata={"ge": 0})
    names: tuple[str, ...] = field(default=(), metadata={"max_length": SHOWN_NAMES})


def matched_words(matched: OperatorsMatched) -> str:
    """Return for a reader how many operators a breakpoint is for."""
    if not matched.count:
        return f"matches no operator of {printable(matched.model, 60)}; a breakpoint on '*' shows their names"
    more = ", ..." if matched.count > 3 else ""
    names = ", ".join(printable(name, 40) for name in matched.names[:3])
    noun = "operator" if matched.count == 1 else "operators"
    return f"{matched.count} {noun} of {printable(matched.model, 60)}: {names}{more}"


def stopped_line(stopped: OperatorStopped) -> str:
    """Return a stop in a line for a reader."""
    hit = stopped.hit
    where = f"{hit.phase} the operator {printable(hit.operator, 60)} ({type_words(hit)})"
    return f"stop {stopped.stop}: the run waits {where}"
