"""The plugins: found through entry points, loaded one by one, and asked what they offer."""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import pluggy
from pydantic import TypeAdapter

from edgeloop import hookspecs
from edgeloop.declarations import ModelTool, ProjectTemplate, SourceControl, TrainingBackend, WorkspaceOperation
from edgeloop.hookspecs import PROJECT
from edgeloop.parameters import describe_parameters
from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared import __version__
from edgeloop_shared.codec import encode, encode_json
from edgeloop_shared.errors import PluginError

_log = logging.getLogger(__name__)
_NAME = re.compile(r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_REFERENCE = re.compile(r"\A[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")
_FOLDER = re.compile(r"\A[A-Za-z_][\w.]*:[\w./-]+\Z")
_OUR_PATHS = frozenset({"tools", "train", "trust", "runs"})  # below /workspaces/{workspace}/
T = TypeVar("T")


@dataclass(frozen=True)
class PluginInfo:
    """A plugin as `edgeloop plugins` lists it; `error` says why it failed."""

    name: str
    module: str
    distribution: str
    version: str
    state: Literal["loaded", "failed"]
    error: str
    tools: tuple[str, ...]
    backends: tuple[str, ...]
    templates: tuple[str, ...]
    operations: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    """What one plugin declares, checked. `plugin` is its entry point's name."""

    plugin: str
    tools: tuple[ModelTool, ...] = ()
    backends: tuple[TrainingBackend, ...] = ()
    templates: tuple[ProjectTemplate, ...] = ()
    operations: tuple[WorkspaceOperation, ...] = ()
    source_control: SourceControl | None = None


class Plugins:
    """The plugins that were loaded, and those that failed."""

    def __init__(self, declared: Sequence[Declared], listed: Sequence[PluginInfo]) -> None:
        self._declared = tuple(declared)
        self._listed = tuple(listed)

    def listed(self) -> tuple[PluginInfo, ...]:
        """Return all plugins, failed ones included."""
        return self._listed

    def model_tools(self) -> tuple[ModelTool, ...]:
        """Return all model tools."""
        return tuple(tool for one in self._declared for tool in one.tools)

    def training_backends(self) -> tuple[TrainingBackend, ...]:
        """Return all places where training can run."""
        return tuple(backend for one in self._declared for backend in one.backends)

    def project_templates(self) -> tuple[ProjectTemplate, ...]:
        """Return all templates."""
        return tuple(template for one in self._declared for template in one.templates)

    def workspace_operations(self) -> tuple[tuple[str, WorkspaceOperation], ...]:
        """Return all operations on a workspace, each with the name of its plugin."""
        return tuple((one.plugin, operation) for one in self._declared for operation in one.operations)

    def source_control(self) -> tuple[str, SourceControl]:
        """Return what records the state of workspaces, with the name of its plugin. Raises `PluginError` if nothing does."""
        for one in self._declared:
            if one.source_control is not None:
                return one.plugin, one.source_control
        failed = ", ".join(f"{plugin.name} ({plugin.error})" for plugin in self._listed if plugin.state == "failed")
        raise PluginError(
            "No plugin records the state of workspaces." + (f" These failed: {failed}." if failed else ""),
            hint="`edgeloop plugins` lists what is loaded.",
        )

    def write_declarations(self, path: Path) -> None:
        """Write what the command line builds its commands from: the tools, operations, backends and templates, as JSON."""
        record = {
            "version": __version__,
            "prefix": sys.prefix,
            "tools": [_described(tool) for tool in self.model_tools()],
            "operations": [
                {"group": operation.group, **_described(operation)} for _, operation in self.workspace_operations()
            ],
            "backends": [_described(backend) for backend in self.training_backends()],
            "templates": [
                {"name": template.name, "summary": template.summary} for template in self.project_templates()
            ],
        }
        write_atomically(path, encode_json(record))


def installed_plugins() -> tuple[EntryPoint, ...]:
    """Return the entry points of the group `edgeloop`.

    Those of edgeloop's own distribution come first, so that names which it uses cannot be taken; the rest by name.
    """

    def order(entry: EntryPoint) -> tuple[bool, str, str]:
        distribution = entry.dist.name if entry.dist else ""
        return distribution != PROJECT, distribution, entry.name

    return tuple(sorted(entry_points(group=PROJECT), key=order))


def load_plugins(entries: Iterable[EntryPoint]) -> Plugins:
    """Load plugins in the given order; one that cannot be imported or breaks its contract is named, listed and left out."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    names = _Names()
    declared: list[Declared] = []
    listed: list[PluginInfo] = []
    for entry in entries:
        _log.info("Loading the plugin %s from %s", entry.name, entry.module)
        try:
            one = _load(manager, entry, names)
        except (Exception, SystemExit) as error:
            _log.exception("The plugin %s from %s is left out", entry.name, entry.module)
            if manager.has_plugin(entry.name):
                manager.unregister(name=entry.name)
            listed.append(_info(entry, Declared(entry.name), f"{type(error).__name__}: {error}"))
        else:
            declared.append(one)
            listed.append(_info(entry, one, ""))
    return Plugins(declared, listed)


class _Names:
    """The names that are taken, with the plugin that has each."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], str] = {}
        self._groups: set[str] = set()

    def claim(self, plugin: str, names: Iterable[tuple[str, str]], groups: Iterable[str]) -> None:
        """Enter `(kind, name)` pairs for `plugin`: all of them or, when one is taken, none. Raises `ValueError`.

        Several plugins may add to one group of operations, but a group and a tool are both commands of one name.
        """
        fresh: dict[tuple[str, str], str] = {}
        for kind, name in names:
            owner = self._taken.get((kind, name)) or fresh.get((kind, name))
            if owner is not None:
                by = "twice" if owner == plugin else f"too, which the plugin {owner} has already"
                raise ValueError(f"it declares the {kind} {name!r} {by}")
            fresh[(kind, name)] = plugin
        all_groups = self._groups | set(groups)
        both = {name for kind, name in (*self._taken, *fresh) if kind == "tool"} & all_groups
        if both:
            raise ValueError(f"{min(both)!r} would be both a tool and a group of operations")
        self._taken.update(fresh)
        self._groups = all_groups


def _load(manager: pluggy.PluginManager, entry: EntryPoint, names: _Names) -> Declared:
    module = entry.load()
    manager.register(module, name=entry.name)
    manager.check_pending()  # a hook that is spelled wrong would otherwise never be called
    others = [plugin for name, plugin in manager.list_name_plugin() if name != entry.name]

    def ask(hook: str) -> Any:
        return manager.subset_hook_caller(hook, remove_plugins=others)()

    def listed(hook: str, kind: type[T]) -> tuple[T, ...]:
        return tuple(_checked(item, kind, hook) for answer in ask(hook) for item in answer)

    one = Declared(
        plugin=entry.name,
        tools=listed("edgeloop_model_tools", ModelTool),
        backends=listed("edgeloop_training_backends", TrainingBackend),
        templates=listed("edgeloop_project_templates", ProjectTemplate),
        operations=listed("edgeloop_workspace_operations", WorkspaceOperation),
        source_control=ask("edgeloop_source_control"),
    )
    if one.source_control is not None:
        _check_source_control(_checked(one.source_control, SourceControl, "edgeloop_source_control"))
    for tool in one.tools:
        _check_operation(f"the tool {tool.name!r}", tool)
    for operation in one.operations:
        _check_name("the group", operation.group)
        if operation.group in _OUR_PATHS:
            raise ValueError(f"a group of operations cannot be called {operation.group!r}: edgeloop uses that name")
        _check_operation(f"the operation {operation.group!r} {operation.name!r}", operation)
    for backend in one.backends:
        what = f"the backend {backend.name!r}"
        _check_name(what, backend.name)
        _check_form(what, "implementation", backend.implementation, _REFERENCE)
        _check_parameters(backend.parameters)
    for template in one.templates:
        _check_name(f"the template {template.name!r}", template.name)
        _check_form(f"the template {template.name!r}", "folder", template.folder, _FOLDER)
    names.claim(entry.name, _claims(one), (operation.group for operation in one.operations))
    return one


def _claims(one: Declared) -> Iterable[tuple[str, str]]:
    yield from (("tool", tool.name) for tool in one.tools)
    yield from (("operation", f"{operation.group} {operation.name}") for operation in one.operations)
    yield from (("backend", backend.name) for backend in one.backends)
    yield from (("template", template.name) for template in one.templates)
    if one.source_control is not None:
        yield "hook", "edgeloop_source_control"


def _checked(item: Any, kind: type[T], hook: str) -> T:
    if not isinstance(item, kind):
        raise TypeError(f"{hook} returned {item!r}, which is no {kind.__name__}")
    return item


def _check_operation(what: str, operation: ModelTool | WorkspaceOperation) -> None:
    _check_name(what, operation.name)
    _check_form(what, "handler", operation.handler, _REFERENCE)
    _check_parameters(operation.parameters)
    _check_servable(f"{what}: its result", operation.result, "serialization")


def _check_parameters(parameters: type) -> None:
    encode_json(describe_parameters(parameters))
    _check_servable(parameters.__qualname__, parameters, "validation")


def _check_source_control(control: SourceControl) -> None:
    for name in ("create", "locate", "examine", "snapshot", "checkout", "discard"):
        _check_form("the source control", name, getattr(control, name), _REFERENCE)


def _check_name(what: str, name: str) -> None:
    _check_form(what, "name", name, _NAME)


def _check_form(what: str, field: str, value: str, form: re.Pattern[str]) -> None:
    if not isinstance(value, str) or form.match(value) is None:
        raise ValueError(f"{what}: its {field} is {value!r}, which does not match {form.pattern}")


def _check_servable(what: str, kind: type, mode: Literal["validation", "serialization"]) -> None:
    """Raise `TypeError` for a type that the local API could not describe: better here than when all routes are made."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{what} is {kind!r}, which is no dataclass")
    try:
        get_type_hints(kind)  # names what is unknown, which pydantic does not
        TypeAdapter(kind).json_schema(mode=mode)
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise TypeError(f"{what} cannot be described: {first}") from error


def _described(declaration: ModelTool | WorkspaceOperation | TrainingBackend) -> dict[str, Any]:
    return {
        "name": declaration.name,
        "summary": declaration.summary,
        "parameters": encode(describe_parameters(declaration.parameters)),
    }


def _info(entry: EntryPoint, one: Declared, error: str) -> PluginInfo:
    return PluginInfo(
        name=entry.name,
        module=entry.module,
        distribution=entry.dist.name if entry.dist else "",
        version=entry.dist.version if entry.dist else "",
        state="failed" if error else "loaded",
        error=error,
        tools=tuple(tool.name for tool in one.tools),
        backends=tuple(backend.name for backend in one.backends),
        templates=tuple(template.name for template in one.templates),
        operations=tuple(f"{operation.group} {operation.name}" for operation in one.operations),
    )
