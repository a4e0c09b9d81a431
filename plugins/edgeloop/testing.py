"""What a plugin's own tests need: a job context that records, handlers called as edgeloop calls them, and a conformance suite.

Nothing here needs a daemon, and nothing imports a test framework: `PluginConformance` is a plain class that pytest collects.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import importlib.resources
import inspect
import json
import math
import tempfile
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from edgeloop import pretended_device
from edgeloop.context import DeviceRun
from edgeloop.declarations import ModelTool, SourceControl, WorkspaceOperation
from edgeloop.declared import Declared, read_declarations, references
from edgeloop.handlers import load_handler
from edgeloop.hookspecs import PROJECT
from edgeloop.metrics import MetricPoint, check_point
from edgeloop.parameters import describe_parameters, in_workspace
from edgeloop.results import encode_result
from edgeloop.subprocesses import run_command
from edgeloop.training import Training
from edgeloop.trial import failure_text, try_plugin
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, PluginError

__all__ = ["PluginConformance", "RecordingContext", "call_handler", "check_plugin"]

_ARGUMENTS = {
    "create": 1,
    "locate": 1,
    "examine": 1,
    "snapshot": 2,
    "checkout": 3,
    "discard": 2,
    "forget": 2,
}  # of the source control


@dataclass
class RecordingContext:
    """A `JobContext` without a daemon: it records what a handler reports, and runs subprocesses for real.

    `workspace` is the workspace's root folder, `folder` the job's own, absolute or relative to it. Afterwards `lines`
    holds the log, subprocesses' output included, `points` the metrics, `reports` the progress as (fraction, message), and
    `devices` the names of the devices that scripts were to run on: they run in processes here.
    """

    workspace: Path
    folder: Path = Path(".job")
    job_id: str = "j1"
    lines: list[str] = field(default_factory=list)
    points: list[MetricPoint] = field(default_factory=list)
    reports: list[tuple[float | None, str]] = field(default_factory=list)
    devices: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.workspace / self.folder
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def fractions(self) -> list[float]:
        """The fractions of the reports that had one."""
        return [fraction for fraction, _ in self.reports if fraction is not None]

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Record a report. Raises `AssertionError` for a fraction outside of 0..1, which the daemon would only cut."""
        assert fraction is None or 0 <= fraction <= 1, f"A progress of {fraction} is not in 0..1."
        self.reports.append((fraction, message))

    def log(self, message: str) -> None:
        """Record a line."""
        self.lines.append(message)

    def metric(self, tag: str, step: int, value: float) -> None:
        """Record a point; one that is no finite number becomes a line of the log, as in a real job."""
        check_point(tag, step)
        if math.isfinite(value):
            self.points.append(MetricPoint(tag, step, float(value)))
        else:
            self.log(f"{tag} at step {step} is {value}")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        """Run a subprocess and record its output line by line; return its exit status (negative: minus the signal)."""

        def take(line: str) -> None:
            self.log(line)
            if on_line is not None:
                on_line(line)

        return run_command(command, folder=folder or self.workspace, environment=environment, on_line=take)

    def device_path(self, path: Path) -> str:
        """Return where a file of the workspace or of the job's folder lies on a device."""
        return pretended_device.device_path(path, self.workspace, self.folder)

    def run_on_device(
        self,
        script: Path,
        arguments: Sequence[str] = (),
        *,
        files: Sequence[Path] = (),
        like: tuple[str, Sequence[str]] | None = None,
        device: str | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> DeviceRun:
        """Run the script in a process here, in a folder of its own with nothing but the files, and record `device` in `devices`.

        With `like` all Python files and models of the workspace go along.
        """
        self.devices.append(device)
        more = [path for path in self.workspace.rglob("*") if path.suffix in (".py", ".mnn")] if like else []
        return pretended_device.run_here(
            script,
            arguments,
            [*files, *(path for path in more if not path.is_relative_to(self.folder))],
            workspace=self.workspace,
            folder=self.folder,
            place=Path(tempfile.mkdtemp(prefix="device-run-", dir=self.folder)),
            on_line=on_line or self.log,
        )


def call_handler(declaration: ModelTool | WorkspaceOperation, context: RecordingContext, /, **parameters: Any) -> Any:
    """Call the handler of a declaration as edgeloop would, and return its result.

    `parameters` are values as they stand in JSON (an enum's value, a list). They are checked and decoded like those of a request,
    and relative paths are made absolute. Raises `InvalidInputError` for parameters that do not fit, `PluginError` for a handler
    that cannot be loaded or returns something else than it declares, and whatever the handler raises.
    """
    given = in_workspace(decode(declaration.parameters, parameters), context.workspace)
    is_query = isinstance(declaration, WorkspaceOperation) and declaration.runs == "query"
    result = load_handler(declaration.handler)(given, context.workspace if is_query else context)
    text = encode_result(result, declaration.result, declaration.handler)
    try:
        decode(declaration.result, json.loads(text))
    except InvalidInputError as error:
        raise PluginError(
            f"The result of {declaration.handler} does not fit {declaration.result.__name__}: {error.message}",
            hint="Return values of the declared types.",
            details={"handler": declaration.handler},
        ) from None
    return result


def check_plugin(plugin: str) -> None:
    """Check everything that `PluginConformance` checks of the declaration module `plugin`, by its dotted name.

    Raises `AssertionError` that names every problem with its remedy.
    """
    _require_none(problem for check in _CHECKS for problem in check(plugin))


class PluginConformance:
    """What every plugin must fulfil, as tests: derive a class `Test...` from it, and set `plugin` in it.

    `plugin` is the dotted name of the declaration module.
    """

    plugin: str

    def test_the_distribution_names_the_plugin(self) -> None:
        """An entry point of the group `edgeloop` names the declaration module, so that the daemon finds it."""
        _require_none(_entry_problems(self.plugin))

    def test_the_declaration_module_is_light_and_silent(self) -> None:
        """Importing it alone takes little, imports nothing heavy, prints nothing and leaves nothing running."""
        _require_none(_import_problems(self.plugin))

    def test_the_declarations_are_valid(self) -> None:
        """Hooks are spelled right; names, summaries, parameters, defaults and constraints fit."""
        _require_none(_declaration_problems(self.plugin))

    def test_every_handler_can_be_called(self) -> None:
        """What the declarations name as text can be imported and takes the arguments that it will be given."""
        _require_none(_handler_problems(self.plugin))

    def test_every_parameter_has_a_description(self) -> None:
        """The command line's help and forms show it."""
        _require_none(_description_problems(self.plugin))

    def test_results_can_be_read_back(self) -> None:
        """A result's types survive the way through JSON."""
        _require_none(_result_problems(self.plugin))

    def test_templates_are_whole(self) -> None:
        """A template's folder is installed with the plugin and holds an `edgeloop.toml`."""
        _require_none(_template_problems(self.plugin))


def _require_none(problems: Iterator[str]) -> None:
    found = list(problems)
    if found:
        raise AssertionError("\n".join(found))


def _entry_problems(plugin: str) -> Iterator[str]:
    if plugin not in [entry.module for entry in entry_points(group=PROJECT)]:
        yield (
            f"No installed distribution names {plugin}. Add it below [project.entry-points.{PROJECT}] in pyproject.toml, then "
            "install the distribution."
        )


def _import_problems(plugin: str) -> Iterator[str]:
    trial = try_plugin(EntryPoint("plugin", plugin, PROJECT))
    if trial.error:
        yield trial.error
    yield from trial.remarks


def _declaration_problems(plugin: str) -> Iterator[str]:
    try:
        declared = read_declarations(importlib.import_module(plugin), "plugin")
    except Exception as error:
        yield failure_text(error)
    else:
        if not declared.names:
            yield f"{plugin} declares nothing. Implement a hook, and put @edgeloop.hookimpl above it."


def _handler_problems(plugin: str) -> Iterator[str]:
    declared = _declared(plugin)
    found = {}
    for what, reference in references(declared):
        try:
            found[reference] = load_handler(reference)
        except EdgeloopError as error:
            yield f"{what}: {error}"
    for operation in declared.called:
        yield from _call_problems(operation.handler, found.get(operation.handler), 2)
    for backend in declared.backends:
        kind = found.get(backend.implementation)
        yield from _call_problems(backend.implementation, kind, 2)
        methods = [name for name, value in vars(Training).items() if inspect.isfunction(value) and name[0] != "_"]
        missing = [name for name in methods if kind is not None and not callable(getattr(kind, name, None))]
        if missing:
            yield f"{backend.implementation} has no {', '.join(missing)}. edgeloop.Training says what they do."
    if declared.source_control is not None:
        for one in dataclasses.fields(SourceControl):
            reference = getattr(declared.source_control, one.name)
            if reference is None:  # what need not be provided
                continue
            yield from _call_problems(reference, found.get(reference), _ARGUMENTS[one.name])


def _call_problems(reference: str, handler: Any, count: int) -> Iterator[str]:
    if handler is None:  # it could not be imported, which is told already
        return
    if not callable(handler):
        yield f"{reference} cannot be called. Name a function."
        return
    try:
        inspect.signature(handler).bind(*[None] * count)
    except (TypeError, ValueError):
        arguments = "one argument" if count == 1 else f"{count} arguments"
        yield f"{reference} does not take {arguments}. See the declaration's documentation for what it is given."


def _description_problems(plugin: str) -> Iterator[str]:
    declared = _declared(plugin)
    for kind in (*(one.parameters for one in declared.called), *(one.parameters for one in declared.backends)):
        for described in describe_parameters(kind):
            if not described.description:
                name = f"{kind.__qualname__}.{described.name}"
                yield f'{name} has no description. Add `field(metadata={{"description": "..."}})`.'


def _result_problems(plugin: str) -> Iterator[str]:
    declared = _declared(plugin)
    for one in declared.called:
        yield from _unreadable(one.result, one.result.__qualname__, set())


def _unreadable(kind: Any, where: str, seen: set[Any]) -> Iterator[str]:
    """Yield what of a type the codec does not read."""
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in (str, int, float, bool, types.NoneType, Any) or origin is typing.Literal or kind in seen:
        return
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        for one in dataclasses.fields(kind):
            yield from _unreadable(hints[one.name], f"{where}.{one.name}", seen | {kind})
    elif origin in (typing.Union, types.UnionType, tuple) or (inspect.isclass(origin) and issubclass(origin, Mapping)):
        for argument in arguments:
            if argument is not Ellipsis:
                yield from _unreadable(argument, where, seen)
    elif not (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        yield f"{where}: {kind!r} cannot be read back. Use str, int, float, bool, tuple[T, ...], Mapping[str, T] or a dataclass."


def _template_problems(plugin: str) -> Iterator[str]:
    for template in _declared(plugin).templates:
        package, _, folder = template.folder.partition(":")
        try:
            is_whole = importlib.resources.files(package).joinpath(folder, "edgeloop.toml").is_file()
        except ImportError as error:
            yield f"The template {template.name!r}: {error}. Its folder begins with the name of a package."
        else:
            if not is_whole:
                yield (
                    f"The template {template.name!r} holds no edgeloop.toml at {template.folder}. Add one, and see that the "
                    "wheel contains the folder."
                )


def _declared(plugin: str) -> Declared:
    """Return what is declared; nothing if it is not valid, which is told elsewhere."""
    try:
        return read_declarations(importlib.import_module(plugin), "plugin")
    except Exception:
        return Declared("plugin")


_CHECKS = (
    _entry_problems,
    _import_problems,
    _declaration_problems,
    _handler_problems,
    _description_problems,
    _result_problems,
    _template_problems,
)
