"""The observer of a model's runs: it stops them at operators with breakpoints, and only there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from edgeloop_task.callbacks import Callback, Execute, name_and_type
from edgeloop_task.native_tensors import HostMemory
from edgeloop_task.operator_breakpoint import OperatorBreakpoint, are_any_on, breakpoints_of
from edgeloop_task.operator_stops import Operator, Site, Stops
from edgeloop_task.source_nodes import SourceNodes

_MAX_PLANS = 16  # kept per shapes of the inputs: one for each set of breakpoints


Breakpoints: TypeAlias = tuple[OperatorBreakpoint, ...]


class Observer:
    """Observes the runs of one model, one at a time."""

    def __init__(self, model: str, nodes: SourceNodes) -> None:
        self._model = model
        self._nodes = nodes
        self._iteration = -1
        self._breakpoints: Breakpoints = ()
        self._shapes: object = None
        self._operators: tuple[Operator, ...] | None = None
        self._plans: dict[Breakpoints, tuple[Site | None, ...]] = {}
        self._memory = HostMemory()
        self._stops: Stops | None = None

    def begins_run(self) -> bool:
        """Count a run; return whether a breakpoint is on for it. To be asked once before each."""
        self._iteration += 1
        self._breakpoints = breakpoints_of(self._model, self._iteration)
        if not are_any_on():
            self._plans.clear()  # and let the breakpoints in it go, with what they have recorded
        return bool(self._breakpoints)

    def run(
        self,
        input_shapes: object,
        execute: Execute,
        begin: Callback | None,
        end: Callback | None,
        resume: Callable[[], None],
    ) -> int:
        """Run once and return MNN's code; stop at the operators, inside of `begin` and `end`, which see none of that.

        `resume` is called after each stop, so that whoever takes times can leave it out.
        """
        if self._shapes != input_shapes:
            self._shapes, self._operators = input_shapes, None
            self._plans.clear()
            self._memory = HostMemory()
        self._stops = stops = Stops(self._model, self._iteration, self._memory)
        if self._operators is None:
            return self._learn(stops, execute, begin, end, resume)
        plan = self._plan(self._operators)
        if not any(plan):
            return execute(begin, end)
        step_begin, step_end = partial(next, iter(plan), None), partial(next, iter(plan), None)

        def at_begin(tensors: Sequence[Any], operator: Any) -> bool:
            site = step_begin()
            if site is None or not site.needs_begin:
                return begin is None or begin(tensors, operator)
            goes_on = stops.before(site, tensors)
            resume()
            return (begin is None or begin(tensors, operator)) and goes_on

        def at_end(tensors: Sequence[Any], operator: Any) -> bool:
            goes_on = end is None or end(tensors, operator)
            site = step_end()
            if site is None:
                return goes_on
            goes_on = stops.after(site, tensors) and goes_on
            resume()
            return goes_on

        needs_begin = begin is not None or any(site.needs_begin for site in plan if site)
        return execute(at_begin if needs_begin else None, at_end)

    def raise_failure(self) -> None:
        """Raise what an action of the last run raised."""
        stops, self._stops = self._stops, None
        if stops is not None and stops.failure is not None:
            raise stops.failure

    def _learn(
        self, stops: Stops, execute: Execute, begin: Callback | None, end: Callback | None, resume: Callable[[], None]
    ) -> int:
        """Run for the first time with these shapes, and learn what the operators are as they come."""
        operators: list[Operator] = []
        names: Counter[str] = Counter()

        def at_begin(tensors: Sequence[Any], operator: Any) -> bool:
            name, kind = name_and_type(operator)
            names[name] += 1
            operators.append(Operator(name, kind, len(operators), names[name], self._nodes.find(name)))
            site = self._site(operators[-1])
            goes_on = site is None or stops.before(site, tensors)
            resume()
            return (begin is None or begin(tensors, operator)) and goes_on

        def at_end(tensors: Sequence[Any], operator: Any) -> bool:
            goes_on = end is None or end(tensors, operator)
            site = self._site(operators[-1])
            goes_on = (site is None or stops.after(site, tensors)) and goes_on
            resume()
            return goes_on

        code = execute(at_begin, at_end)
        if code == 0:
            self._operators = tuple(operators)
            self._plan(self._operators)
        return code

    def _plan(self, operators: tuple[Operator, ...]) -> tuple[Site | None, ...]:
        plan = self._plans.get(self._breakpoints)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[self._breakpoints] = tuple(map(self._site, operators))
            for one in self._breakpoints:
                matched = (site.operator.name for site in plan if site and one in (*site.before, *site.after))
                one.resolve(self._model, tuple(matched))
        return plan

    def _site(self, operator: Operator) -> Site | None:
        node = None if operator.node is None else operator.node.name
        matched = [
            one
            for one in self._breakpoints
            if one.selector.operator_matches(operator.name, operator.type, operator.index, node)
        ]
        if not matched:
            return None
        before = tuple(one for one in matched if one.phase == "before")
        return Site(operator, before, tuple(one for one in matched if one.phase == "after"))
