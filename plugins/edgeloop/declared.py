"""What one plugin declares: its hooks are asked, and every declaration is checked before anything else sees it."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from edgeloop import hookspecs
from edgeloop.declarations import ModelTool, ProjectTemplate, SourceControl, TrainingBackend, WorkspaceOperation
from edgeloop.parameters import describe_parameters
from edgeloop_shared.codec import decode, encode, encode_json
from edgeloop_shared.errors import InvalidInputError, PluginError

_NAME = re.compile(r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_REFERENCE = re.compile(r"\A[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")
_FOLDER = re.compile(r"\A[A-Za-z_][\w.]*:[\w./-]+\Z")
_OUR_PATHS = frozenset({"tools", "train", "trust", "runs"})  # below /workspaces/{workspace}/
_MARK = f"{hookspecs.PROJECT}_impl"  # what pluggy's marker leaves on a function
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("edgeloop_")}
Operation = ModelTool | WorkspaceOperation
T = TypeVar("T")


@dataclass(frozen=True)
class Declared:
    """What one plugin declares, checked. `plugin` is its entry point's name."""

    plugin: str
    tools: tuple[ModelTool, ...] = ()
    backends: tuple[TrainingBackend, ...] = ()
    templates: tuple[ProjectTemplate, ...] = ()
    operations: tuple[WorkspaceOperation, ...] = ()
    source_control: SourceControl | None = None

    @property
    def called(self) -> tuple[Operation, ...]:
        """The tools and the operations: what has parameters, a result and a handler."""
        return (*self.tools, *self.operations)

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The names that it takes, as (kind, name)."""
        return (
            *(("tool", tool.name) for tool in self.tools),
            *(("operation", f"{operation.group} {operation.name}") for operation in self.operations),
            *(("backend", backend.name) for backend in self.backends),
            *(("template", template.name) for template in self.templates),
            *((("hook", "edgeloop_source_control"),) if self.source_control is not None else ()),
        )


def read_declarations(module: types.ModuleType, plugin: str) -> Declared:
    """Return what the declaration module of `plugin` declares.

    Raises `PluginError`, with the remedy as its hint, for what no plugin may declare, and whatever a hook raises.
    """
    _check_hooks(module)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=plugin)

    def listed(hook: str, kind: type[T]) -> tuple[T, ...]:
        return tuple(item for answer in getattr(manager.hook, hook)() for item in _items(answer, kind, hook))

    control = manager.hook.edgeloop_source_control()
    if control is not None:
        _check_kind(control, SourceControl, "edgeloop_source_control")
    declared = Declared(
        plugin=plugin,
        tools=listed("edgeloop_model_tools", ModelTool),
        backends=listed("edgeloop_training_backends", TrainingBackend),
        templates=listed("edgeloop_project_templates", ProjectTemplate),
        operations=listed("edgeloop_workspace_operations", WorkspaceOperation),
        source_control=control,
    )
    _check(declared)
    return declared


def references(declared: Declared) -> Iterator[tuple[str, str]]:
    """Yield every `"module:name"` that is imported later, each with what it belongs to."""
    for tool in declared.tools:
        yield f"the tool {tool.name!r}", tool.handler
    for operation in declared.operations:
        yield f"the operation {operation.group!r} {operation.name!r}", operation.handler
    for backend in declared.backends:
        yield f"the backend {backend.name!r}", backend.implementation
    if declared.source_control is not None:
        for field in dataclasses.fields(declared.source_control):
            reference = getattr(declared.source_control, field.name)
            if reference is not None:
                yield f"{field.name} of the source control", reference


def _check_hooks(module: types.ModuleType) -> None:
    """Raise for functions that were meant as hooks and would never be called."""
    for name, value in vars(module).items():
        if not inspect.isroutine(value):
            continue
        is_marked = hasattr(value, _MARK)
        if is_marked and name not in HOOKS:
            close = difflib.get_close_matches(name, HOOKS, 1)
            raise _broken(
                f"There is no hook {name}.", f"Call it {close[0]}." if close else f"The hooks are {', '.join(HOOKS)}."
            )
        if name in HOOKS and not is_marked:
            raise _broken(f"{name} is not marked as a hook.", "Put @edgeloop.hookimpl above it.")
        if is_marked and inspect.signature(value).parameters:
            raise _broken(f"The hook {name} asks for arguments, and is given none.", f"Write `def {name}():`.")


def _items(answer: object, kind: type[T], hook: str) -> Iterator[T]:
    if not isinstance(answer, Iterable) or isinstance(answer, str | bytes):
        raise _broken(f"{hook} returned {_short(answer)}.", f"Return a list of {kind.__name__}.")
    for item in answer:
        _check_kind(item, kind, hook)
        yield item


def _check_kind(item: object, kind: type, hook: str) -> None:
    if not isinstance(item, kind):
        raise _broken(
            f"{hook} returned {_short(item)}, which is no {kind.__name__}.", "See docs/plugins.md for its form."
        )


def _check(declared: Declared) -> None:
    taken: set[tuple[str, str]] = set()
    for kind, name in declared.names:
        if (kind, name) in taken:
            raise _broken(f"It declares the {kind} {name!r} twice.", "Rename or remove one of the two.")
        taken.add((kind, name))
    for tool in declared.tools:
        _check_operation(f"the tool {tool.name!r}", tool)
    for operation in declared.operations:
        _check_name(f"the group {operation.group!r}", operation.group)
        if operation.group in _OUR_PATHS:
            raise _broken(
                f"No group of operations can be called {operation.group!r}.", "edgeloop uses that name itself."
            )
        what = f"the operation {operation.group!r} {operation.name!r}"
        if operation.runs not in ("job", "query"):
            raise _broken(f"{_capital(what)} runs as {operation.runs!r}.", "Choose 'job' or 'query'.")
        _check_operation(what, operation)
    for backend in declared.backends:
        what = f"the backend {backend.name!r}"
        _check_name(what, backend.name)
        _check_summary(what, backend.summary)
        _check_form(what, "implementation", backend.implementation, _REFERENCE, "package.module:Class")
        _check_parameters(what, backend.parameters)
    for template in declared.templates:
        what = f"the template {template.name!r}"
        _check_name(what, template.name)
        _check_summary(what, template.summary)
        _check_form(what, "folder", template.folder, _FOLDER, "package:subfolder")
        if not isinstance(template.requires, tuple) or not all(isinstance(name, str) for name in template.requires):
            raise _broken(
                f"{_capital(what)} requires {_short(template.requires)}.", "Give a tuple of distributions' names."
            )
    if declared.source_control is not None:
        for field in dataclasses.fields(SourceControl):
            value = getattr(declared.source_control, field.name)
            if value is None and field.default is None:
                continue
            _check_form("the source control", field.name, value, _REFERENCE, "package.module:function")


def _check_operation(what: str, operation: Operation) -> None:
    _check_name(what, operation.name)
    _check_summary(what, operation.summary)
    _check_form(what, "handler", operation.handler, _REFERENCE, "package.module:function")
    _check_parameters(what, operation.parameters)
    _check_dataclass(what, "result", operation.result)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or _NAME.match(name) is None:
        fitting = re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")
        example = fitting if _NAME.match(fitting) else "prune-weights"
        raise _broken(
            f"{_capital(what)} cannot have that name.",
            f"A name is lower-case words joined by hyphens: {example!r}, say.",
        )


def _check_summary(what: str, summary: object) -> None:
    if not isinstance(summary, str) or not summary.strip() or not summary.isprintable():
        raise _broken(f"{_capital(what)} has no summary.", "Say in one line what it does; `edgeloop --help` shows it.")


def _check_form(what: str, field: str, value: object, form: re.Pattern[str], example: str) -> None:
    if not isinstance(value, str) or form.match(value) is None:
        raise _broken(f"{_capital(what)} names {_short(value)} as its {field}.", f"Write it as text: {example!r}.")


def _check_dataclass(what: str, field: str, kind: object) -> None:
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        raise _broken(
            f"{_capital(what)}: its {field} is {_short(kind)}, which is no dataclass.",
            "Declare a class with @dataclass(frozen=True), and name the class itself.",
        )
    try:
        typing.get_type_hints(kind)
    except Exception as error:
        raise _broken(
            f"{_capital(what)}: the types of {kind.__qualname__} cannot be read: {error}.",
            "Import at the top of its module whatever the annotations name.",
        ) from error


def _check_parameters(what: str, parameters: Any) -> None:
    _check_dataclass(what, "parameters", parameters)
    if not parameters.__dataclass_params__.frozen:
        raise _broken(f"{_capital(what)}: {parameters.__qualname__} can be changed.", "Write @dataclass(frozen=True).")
    try:
        described = describe_parameters(parameters)
        encode_json(described)
    except (TypeError, ValueError) as error:
        raise _broken(f"{_capital(what)}: {error}.", "docs/plugins.md lists the types and constraints.") from error
    hints = typing.get_type_hints(parameters)
    fields = {field.name: field for field in dataclasses.fields(parameters)}
    for one in described:
        if one.required:
            continue
        field = fields[one.name]
        alone = dataclasses.make_dataclass(
            "Alone", [(one.name, hints[one.name], dataclasses.field(metadata=field.metadata))], frozen=True
        )
        try:
            decode(alone, {one.name: encode(one.default)})
        except InvalidInputError as error:
            reason = error.message.rstrip(".").removeprefix(f"{one.name} ")
            raise _broken(
                f"{_capital(what)}: the default of {parameters.__qualname__}.{one.name} does not fit: it {reason}.",
                "Change the default or the constraint.",
            ) from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _broken(message: str, remedy: str) -> PluginError:
    return PluginError(message, hint=remedy)
