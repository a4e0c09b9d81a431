"""The stops of a run: at the operators with breakpoints it is decided whether they hit, and what they ask for is done."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeloop_shared.conversions import Node
from edgeloop_shared.operator_conditions import COMPARISONS
from edgeloop_shared.operator_hits import Phase
from edgeloop_task import native_tensors, reporting
from edgeloop_task.callbacks import interrupts_again
from edgeloop_task.native_tensors import HostMemory
from edgeloop_task.operator_breakpoint import OperatorBreakpoint
from edgeloop_task.operator_hit import HitTensor, OperatorHit, Place, summaries_of
from edgeloop_task.references import References, reference_key
from edgeloop_task.tensor_comparison import TensorComparison


@dataclass(frozen=True)
class Operator:
    """An operator of the model, as the first observed run has shown it; `node` is that of the source model, if it is known."""

    name: str
    type: str
    index: int
    occurrence: int
    node: Node | None = None


@dataclass(frozen=True)
class Site:
    """An operator at which a run stops, and for which breakpoints."""

    operator: Operator
    before: tuple[OperatorBreakpoint, ...]
    after: tuple[OperatorBreakpoint, ...]

    @property
    def needs_begin(self) -> bool:
        """Whether something is wanted before the operator runs."""
        return bool(self.before) or any(one.needs_inputs for one in self.after)


class Stops:
    """The stops of one run. Nothing is raised in here: an exception must not leave a callback, so it waits as `failure`."""

    def __init__(self, model: str, iteration: int, memory: HostMemory) -> None:
        self.failure: BaseException | None = None
        self._model = model
        self._iteration = iteration
        self._memory = memory
        self._inputs: Sequence[Any] = ()
        self._is_skipped = False
        self._fired: set[OperatorBreakpoint] = set()  # those that stop once per run

    def before(self, site: Site, tensors: Sequence[Any]) -> bool:
        """Stop before an operator; return whether it shall run."""
        self._inputs = tensors  # MNN keeps their memory until the operator has run
        if site.before:
            self._is_skipped = self._stop(site, "before", tensors, ()) == "skip"
        return not self._is_skipped and self.failure is None

    def after(self, site: Site, tensors: Sequence[Any]) -> bool:
        """Stop after an operator; return whether the run shall go on."""
        inputs, self._inputs = self._inputs, ()
        if self.failure is None and self._is_skipped:
            self._is_skipped = False
            self._pass_through(site, inputs, tensors)
        if self.failure is None and site.after:
            self._stop(site, "after", inputs, tensors)
        return self.failure is None

    def _stop(self, site: Site, phase: Phase, inputs: Sequence[Any], outputs: Sequence[Any]) -> str:
        """Do what the breakpoints of the phase ask for, in their order, and return the answer."""
        name, answer = site.operator.name, "continue"
        hit_inputs = [HitTensor(one, f"input {n} of {name}", self._memory) for n, one in enumerate(inputs)]
        hit_outputs = [HitTensor(one, f"output {n} of {name}", self._memory) for n, one in enumerate(outputs)]
        place = Place(
            self._model,
            name,
            site.operator.type,
            site.operator.index,
            site.operator.occurrence,
            self._iteration,
            phase,
            None if site.operator.node is None else str(site.operator.node),
        )
        try:
            for one in site.before if phase == "before" else site.after:
                hit = None if one in self._fired else _hit(one, place, hit_inputs, hit_outputs)
                if hit is not None:
                    if one.first_only:
                        self._fired.add(one)
                    _act(one, hit)
                    answer = "skip" if hit.answer == "skip" else answer
        except BaseException as error:
            self.failure = error
        finally:
            for tensor in (*hit_inputs, *hit_outputs):
                tensor.close()
            self._memory.take_back()
        return answer

    def _pass_through(self, site: Site, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Fill the outputs of a skipped operator: MNN leaves in them what stood there before."""
        try:
            source = native_tensors.copy_of(inputs[0], f"input 0 of {site.operator.name}") if inputs else None
            for number, tensor in enumerate(outputs):
                what = f"output {number} of {site.operator.name}"
                empty = np.zeros(tuple(tensor.getShape()), native_tensors.dtype_of(tensor))
                fits = source is not None and (source.shape, source.dtype) == (empty.shape, empty.dtype)
                if empty.size:
                    native_tensors.write(tensor, source if source is not None and fits else empty, what)
        except BaseException as error:
            self.failure = error


def _hit(
    one: OperatorBreakpoint, place: Place, inputs: Sequence[HitTensor], outputs: Sequence[HitTensor]
) -> OperatorHit | None:
    """Return the hit, or None where the breakpoint's condition does not hold."""
    number = 0
    if one.condition is not None:
        look = _Look(one, place, inputs, outputs)
        # A bare statistic is that of any tensor: of one after the other, then.
        count = len(look.tensors) if one.condition.is_of_any_tensor else 1
        held = (number for number in range(count) if one.condition.holds(look.at(number)))
        first = next(held, None)
        if first is None:
            return None
        number = first
    if not one.holds_again():
        return None
    return OperatorHit(place, str(one), one.count_hit(), number, inputs, outputs)


def _act(one: OperatorBreakpoint, hit: OperatorHit) -> None:
    """Do the action and report the hit, with the statistics from before it."""
    is_told = hit.number <= one.reports
    summaries = summaries_of(hit.tensors) if is_told else ()
    now = time.time_ns()
    try:
        with interrupts_again():
            one.action(hit)
    finally:
        if is_told:
            report = hit.report(now, summaries, is_last=hit.number == one.reports)
            one.keep(report)
            reporting.current().operator_event(report)


class _Look:
    """What a condition sees; see `operator_conditions.Values`."""

    def __init__(
        self, one: OperatorBreakpoint, place: Place, inputs: Sequence[HitTensor], outputs: Sequence[HitTensor]
    ) -> None:
        self.tensors = inputs if place.phase == "before" else outputs
        self._one = one
        self._place = place
        self._sides = {"in": inputs, "out": outputs}
        self._current: tuple[str, int] = ("in" if place.phase == "before" else "out", 0)
        self._comparisons: dict[int, TensorComparison | None] = {}

    def at(self, number: int) -> _Look:
        """Look at this tensor."""
        self._current = (self._current[0], number)
        return self

    def statistic(self, name: str, tensor: tuple[str, int] | None, /) -> float:
        """Return a statistic; NaN for a tensor that the operator has not, or for a reference that does not exist."""
        side, number = tensor or self._current
        if number >= len(self._sides[side]):
            return math.nan
        if name in COMPARISONS:
            comparison = self._comparison(number)
            return math.nan if comparison is None else float(getattr(comparison, COMPARISONS[name]))
        return float(getattr(self._sides[side][number].statistics, name))

    def run_value(self, name: str, /) -> float:
        """Return a number of the run."""
        values = {"iteration": self._place.iteration, "index": self._place.index, "hits": self._one.hit_count}
        return float(values[name])

    def _comparison(self, number: int) -> TensorComparison | None:
        if number not in self._comparisons:
            references: References | None = self._one.references
            key = reference_key(self._place.name, self._place.occurrence, number)
            reference = references.output(key) if references else None
            tensor = self._sides["out"][number]
            fits = reference is not None and reference.shape == tensor.shape
            self._comparisons[number] = tensor.compare(reference) if fits and reference is not None else None
        return self._comparisons[number]
