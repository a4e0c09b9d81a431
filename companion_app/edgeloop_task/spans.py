"""Spans: named blocks of a script in its trace."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, cast

from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.spans import SpanKind
from edgeloop_task.trace_recorder import RECORDER, Node, root, track
from edgeloop_task.trace_switch import Switch

P = ParamSpec("P")
R = TypeVar("R")

_current: ContextVar[Node | None] = ContextVar(
    "edgeloop_span", default=None
)  # so that tasks and threads nest their own


def span(name: str, /, **attributes: object) -> Span:
    """Name what a block does, for the trace: `with edgeloop_task.span("pre", images=8): ...`, or `@edgeloop_task.span("pre")`.

    Spans nest, also across `await` and in threads. Nothing is recorded unless the run is traced. Raises `InvalidInputError`
    when `name` is no text.
    """
    if not isinstance(name, str) or not name:
        raise InvalidInputError(
            f"A span cannot be called {name!r}.", hint="Give it a short text, as in span('resize')."
        )
    return Span(name, attributes)


def current_place() -> Node:
    """Return the place of the span that is open here, or the root."""
    return _current.get() or root()


class Span:
    """A block while it runs. `set` adds attributes that are known only later."""

    __slots__ = ("_attributes", "_name", "_open")
    kind: ClassVar[SpanKind] = "span"
    session, iteration = 0, 0

    def __init__(self, name: str, attributes: dict[str, object] | None = None) -> None:
        self._name = name
        self._attributes = attributes
        self._open: tuple[Any, Node | None, Node, str, int] | None = None

    def set(self, **attributes: object) -> None:
        """Add attributes."""
        self._attributes = {**(self._attributes or {}), **attributes}

    def __enter__(self) -> Self:
        if Switch.reasons:
            outer = _current.get()
            place = (outer or root()).child(self.kind, self._name)
            _current.set(place)
            self._open = (self._open, outer, place, track(), time.perf_counter_ns())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            end = time.perf_counter_ns()
            before, outer, place, name, begin = self._open
            self._open = before
            _current.set(outer)
            attributes = self._attributes
            if kind is not None:
                attributes = {**(attributes or {}), "error": kind.__name__}
            RECORDER.add((place, name, self.session, self.iteration, begin, end - begin, attributes))
            if RECORDER.is_due or not Switch.reasons:
                RECORDER.send()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function` with each call as a span. Raises `InvalidInputError` for a generator, whose call does nothing yet."""
        name, attributes = self._name, self._attributes
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidInputError(
                f"The generator {function.__name__} cannot be a span: its body runs between its caller's steps.",
                hint="Use `with edgeloop_task.span(...)` inside of it, around what does not yield.",
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*arguments: P.args, **named: P.kwargs) -> Any:
                with Span(name, attributes):
                    return await function(*arguments, **named)

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*arguments: P.args, **named: P.kwargs) -> R:
            with Span(name, attributes):
                return function(*arguments, **named)

        return called


class LoadSpan(Span):
    """The loading of a model."""

    __slots__ = ()
    kind = "load"


class RunSpan(Span):
    """A run of a model; its session and iteration are known when it ends."""

    __slots__ = ("iteration", "session")
    kind = "run"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.session = self.iteration = 0
