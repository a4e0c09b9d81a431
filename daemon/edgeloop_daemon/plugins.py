"""The plugins: found through entry points, tried, loaded one by one, and asked what they offer."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from edgeloop import trial
from edgeloop.declarations import ModelTool, ProjectTemplate, SourceControl, TrainingBackend, WorkspaceOperation
from edgeloop.declared import Declared, read_declarations
from edgeloop.hookspecs import PROJECT
from edgeloop.parameters import describe_parameters
from edgeloop.trial import Trial, failure_text, try_plugin
from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.passed_trials import PassedTrials
from edgeloop_daemon.plugin_output import printable_lines, spoken_by
from edgeloop_daemon.queries import Queries
from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared import __version__
from edgeloop_shared.codec import encode, encode_json
from edgeloop_shared.errors import NotFoundError, PluginError

_log = logging.getLogger(__name__)
_OWN_PACKAGE = "edgeloop_plugins"
_MAX_TRIALS = 8  # at the same time


@dataclass(frozen=True)
class PluginInfo:
    """A plugin as `edgeloop plugins` lists it.

    `error` says why it failed. `remarks` are sentences for its author on what it should not do. `is_enabled` says whether it is
    loaded when the daemon starts the next time.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: Literal["loaded", "failed", "disabled"]
    is_enabled: bool
    error: str
    remarks: tuple[str, ...]
    tools: tuple[str, ...]
    backends: tuple[str, ...]
    templates: tuple[str, ...]
    operations: tuple[str, ...]


class Plugins:
    """The plugins that were loaded, those that failed and those that are disabled."""

    def __init__(self, declared: Sequence[Declared], listed: Sequence[PluginInfo], disabled: DisabledPlugins) -> None:
        self._declared = tuple(declared)
        self._listed = tuple(listed)
        self._disabled = disabled
        self._queries = Queries()

    def listed(self) -> tuple[PluginInfo, ...]:
        """Return all plugins, failed and disabled ones included."""
        disabled = self._disabled.names()
        return tuple(dataclasses.replace(one, is_enabled=one.name not in disabled) for one in self._listed)

    def set_enabled(self, name: str, is_enabled: bool) -> PluginInfo:
        """Say whether the plugin called `name` is loaded from the next start on. Raises `NotFoundError`."""
        found = [one for one in self._listed if one.name == name]
        if not found:
            raise NotFoundError(f"No plugin is called {name!r}.", hint="`edgeloop plugins` lists them.")
        self._disabled.change(name, is_disabled=not is_enabled)
        return dataclasses.replace(found[0], is_enabled=is_enabled)

    async def query(self, plugin: str, handler: str, *arguments: Any) -> Any:
        """Call a `handler` ("module:name") of `plugin` in the daemon and return its result; see `Queries.run`."""
        return await self._queries.run(plugin, handler, *arguments)

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
            hint="`edgeloop plugins` lists what is loaded, failed and disabled.",
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


def load_plugins(
    entries: Iterable[EntryPoint],
    *,
    disabled: DisabledPlugins | None = None,
    passed: PassedTrials | None = None,
    seconds: float = trial.SECONDS,
) -> Plugins:
    """Load plugins in the given order; one that cannot be loaded is named, listed and left out.

    Those of third parties are tried in processes of their own first, so that one that crashes or hangs while it is imported does
    not do it here; one that has not changed since it `passed` is not tried again. None may take more than `seconds`.
    """
    listed_entries = tuple(entries)
    off = disabled or DisabledPlugins(None)
    off_names = off.names()
    foreign = [entry for entry in listed_entries if not _is_own(entry) and entry.name not in off_names]
    passed = passed or PassedTrials(None)
    trials = passed.take(foreign)
    trials |= _try([entry for entry in foreign if entry not in trials], seconds)
    names = _Names(_commands() if trials else ())
    declared: list[Declared] = []
    loaded: dict[EntryPoint, Trial] = {}
    listed: list[PluginInfo] = []
    for entry in listed_entries:
        remarks: tuple[str, ...] = ()
        if entry.name in off_names:
            _log.info("The plugin %s is disabled", entry.name)
            listed.append(_info(entry, Declared(entry.name), "disabled"))
            continue
        try:
            if entry in trials:
                remarks = trials[entry].remarks
                _judge(entry, trials[entry])
            one = _load(entry, seconds)
            names.claim(one)
        except Exception as error:
            text = failure_text(error)
            _log.error("The plugin %s from %s is left out: %s", entry.name, entry.module, text)
            listed.append(_info(entry, Declared(entry.name), "failed", text, remarks))
        else:
            declared.append(one)
            listed.append(_info(entry, one, "loaded", "", remarks))
            if entry in trials:
                loaded[entry] = trials[entry]
    passed.keep(loaded)
    return Plugins(declared, listed, off)


class _Names:
    """The names that are taken, with the plugin that has each. `commands` are edgeloop's own."""

    def __init__(self, commands: Iterable[str]) -> None:
        self._commands = frozenset(commands)
        self._plugins: set[str] = set()
        self._taken: dict[tuple[str, str], str] = {}
        self._groups: dict[str, str] = {}

    def claim(self, declared: Declared) -> None:
        """Enter the names of a plugin: all of them or, when one is taken, none. Raises `PluginError`.

        Several plugins may add to one group of operations, but a group and a tool are both commands of one name.
        """
        if declared.plugin in self._plugins:
            raise PluginError(
                f"Another distribution has a plugin called {declared.plugin!r} already.",
                hint="Rename the entry point, or uninstall one of the two.",
            )
        tools = {tool.name for tool in declared.tools}
        groups = {operation.group for operation in declared.operations}
        for name in sorted(self._commands & (tools | groups)):
            raise PluginError(f"`edgeloop {name}` is a command of edgeloop itself.", hint="Choose another name.")
        for kind, name in declared.names:
            if (kind, name) in self._taken:
                raise PluginError(
                    f"It declares the {kind} {name!r}, which the plugin {self._taken[(kind, name)]} has already.",
                    hint="Rename it, or disable one of the two: `edgeloop plugins disable NAME`.",
                )
        taken_tools = {name for kind, name in self._taken if kind == "tool"}
        for name in sorted((tools | taken_tools) & (groups | self._groups.keys())):
            raise PluginError(
                f"{name!r} would be both a tool and a group of operations.", hint="Rename one of the two."
            )
        self._plugins.add(declared.plugin)
        self._taken |= dict.fromkeys(declared.names, declared.plugin)
        self._groups |= dict.fromkeys(groups, declared.plugin)


def _is_own(entry: EntryPoint) -> bool:
    return entry.module.partition(".")[0] == _OWN_PACKAGE


def _commands() -> Iterable[str]:
    # Imported here: only who has plugins of third parties pays for it.
    from edgeloop_daemon.cli.command_list import BUILT_IN

    return BUILT_IN


def _try(entries: Sequence[EntryPoint], seconds: float) -> Mapping[EntryPoint, Trial]:
    with ThreadPoolExecutor(_MAX_TRIALS, thread_name_prefix="trial") as pool:
        for entry in entries:
            _log.info("Trying the plugin %s from %s", entry.name, entry.module)
        return dict(zip(entries, pool.map(lambda entry: try_plugin(entry, seconds=seconds), entries), strict=True))


def _judge(entry: EntryPoint, result: Trial) -> None:
    for remark in result.remarks:
        _log.warning("The plugin %s: %s", entry.name, remark)
    if result.error:
        if result.output:
            _log.error("The plugin %s printed in its trial:\n%s", entry.name, printable_lines(result.output))
        raise PluginError(result.error)


def _load(entry: EntryPoint, seconds: float) -> Declared:
    """Return what a plugin declares. Raises `PluginError` when that takes too long, and whatever the plugin raises."""
    outcome: list[Declared | BaseException] = []

    def load() -> None:
        try:
            with spoken_by(entry.name):
                one = read_declarations(entry.load(), entry.name)
                if not _is_own(
                    entry
                ):  # a test describes our own, and to do it here would take as long as importing them
                    _check_servable(one)
                outcome.append(one)
        except BaseException as error:
            outcome.append(error)

    _log.info("Loading the plugin %s from %s", entry.name, entry.module)
    thread = threading.Thread(target=load, name=f"plugin {entry.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise PluginError(
            f"Importing {entry.module} did not end within {seconds:g} s.",
            hint="A declaration module only declares: do the work in the handlers.",
        )
    if isinstance(outcome[0], Declared):
        return outcome[0]
    raise PluginError(failure_text(outcome[0])) from outcome[0]


def _check_servable(declared: Declared) -> None:
    """Raise `PluginError` for types that the local API could not describe: better here than when all routes are made."""
    for operation in declared.called:
        _check_schema(operation.name, operation.parameters, "validation")
        _check_schema(operation.name, operation.result, "serialization")
    for backend in declared.backends:
        _check_schema(backend.name, backend.parameters, "validation")


def _check_schema(name: str, kind: type, mode: Literal["validation", "serialization"]) -> None:
    try:
        TypeAdapter(kind).json_schema(mode=mode)
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise PluginError(
            f"{name!r}: {kind.__qualname__} cannot be described in JSON: {first}",
            hint="Use strings, numbers, tuples, mappings and dataclasses of these.",
        ) from error


def _described(declaration: ModelTool | WorkspaceOperation | TrainingBackend) -> dict[str, Any]:
    judges = not isinstance(declaration, TrainingBackend) and "exit_status" in {
        one.name for one in dataclasses.fields(declaration.result)
    }
    return {
        "judges": judges,
        "name": declaration.name,
        "summary": declaration.summary,
        "parameters": encode(describe_parameters(declaration.parameters)),
    }


def _info(
    entry: EntryPoint,
    one: Declared,
    state: Literal["loaded", "failed", "disabled"],
    error: str = "",
    remarks: tuple[str, ...] = (),
) -> PluginInfo:
    return PluginInfo(
        name=entry.name,
        module=entry.module,
        distribution=entry.dist.name if entry.dist else "",
        version=entry.dist.version if entry.dist else "",
        state=state,
        is_enabled=state != "disabled",
        error=error,
        remarks=remarks,
        tools=tuple(tool.name for tool in one.tools),
        backends=tuple(backend.name for backend in one.backends),
        templates=tuple(template.name for template in one.templates),
        operations=tuple(f"{operation.group} {operation.name}" for operation in one.operations),
    )
