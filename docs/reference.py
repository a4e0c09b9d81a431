"""The lists of the documentation as Markdown, each made from the code that it describes."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import pkgutil
import tempfile
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import edgeloop
from edgeloop import testing
from edgeloop.declared import HOOKS
from edgeloop_daemon import http
from edgeloop_daemon.cli.command_list import SECTIONS
from edgeloop_daemon.cli.declarations import Declarations
from edgeloop_daemon.cli.declared_commands import declared_commands
from edgeloop_daemon.cli.main import command_line
from edgeloop_daemon.events.kinds import KINDS
from edgeloop_daemon.http.openapi import plain_path
from edgeloop_daemon.http.routes import Route
from edgeloop_daemon.plugins import Plugins, installed_plugins, load_plugins
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.workspaces import settings
from edgeloop_shared import (
    bundles,
    channels,
    codec,
    errors,
    messages,
    models,
    operator_breakpoints,
    operator_conditions,
    operator_hits,
    operator_selector,
    pairing,
    records,
    run_events,
    traces,
)

_PATTERNS = {
    models.NAME_PATTERN: "printable text",
    messages.ID_PATTERN: "an id",
    bundles.SHA256_PATTERN: "64 hex digits",
}
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_LIMITS: tuple[tuple[types.ModuleType, str, str], ...] = (
    (messages, "LINK_VERSIONS", "versions of the link that this edgeloop speaks"),
    (pairing, "PAIRING_VERSIONS", "versions of pairing that this edgeloop speaks"),
    (messages, "MAX_UNAUTHENTICATED_BYTES", "any body before authentication"),
    (messages, "MAX_FRAME_BYTES", "a WebSocket frame as we send it"),
    (messages, "MAX_MESSAGE_BYTES", "a WebSocket message as we take it"),
    (run_events, "MAX_EVENT_BYTES", "an event put together from its records"),
    (records, "MAX_PAYLOAD", "the payload of one record"),
    (messages, "MAX_UNACKNOWLEDGED", "records of a stream on the way"),
    (messages, "MAX_CHANNELS", "channels of one device"),
    (channels, "MAX_CHANNEL_PAYLOAD", "the payload of one channel frame"),
    (channels, "WINDOW", "bytes of one direction of a channel that nobody has taken yet"),
    (channels, "MAX_ENDING_BYTES", "why a channel has ended"),
    (messages, "ACKNOWLEDGE_EVERY", "records after which the daemon acknowledges"),
    (messages, "ACKNOWLEDGE_SECONDS", "seconds after which it acknowledges at the latest"),
    (
        messages,
        "HEARTBEAT_SECONDS",
        "seconds of silence after which a peer is pinged; no answer within half of it ends the link",
    ),
    (bundles, "MAX_MANIFEST_BYTES", "a bundle's manifest"),
    (bundles, "MAX_FILES", "files of a bundle"),
    (bundles, "MAX_BUNDLE_BYTES", "bytes of a bundle"),
    (bundles, "MAX_PATH_CHARACTERS", "characters of a path"),
    (bundles, "MAX_PATH_PARTS", "parts of a path"),
    (traces, "MAX_BATCH_EVENTS", "executed operators in one trace batch"),
    (traces, "MAX_OPERATORS", "operators in one table"),
    (operator_hits, "MAX_HIT_TENSORS", "tensors of an operator in the report of a hit"),
    (operator_hits, "FIRST_VALUES", "first values of a tensor in its summary"),
    (operator_conditions, "MAX_CHARACTERS", "characters of a condition"),
    (operator_selector, "MAX_CHARACTERS", "characters of a selector"),
    (codec, "MAX_DEPTH", "levels of nested JSON"),
    (codec, "MAX_TEXT", "characters of a string that names no limit of its own"),
    (codec, "MAX_ITEMS", "entries of an array or object that names no limit of its own"),
)


def errors_table() -> str:
    """Return every error class by its code."""
    kinds = sorted(errors.EdgeloopError.registry.values(), key=lambda kind: kind.code)
    ours = (kind for kind in kinds if kind.__module__ == errors.__name__)
    rows = ((f"`{kind.code}`", str(kind.http_status), f"`{kind.__name__}`", _prose(kind)) for kind in ours)
    return _table(("code", "status", "class", "meaning"), rows)


def messages_reference(kinds: Mapping[str, type]) -> str:
    """Return a section per dataclass, by the name under which it travels."""
    return "\n\n".join(
        _dataclass_section(f"`{name}`" if name == kind.__name__ else f"`{name}`: `{kind.__name__}`", kind)
        for name, kind in kinds.items()
    )


def event_kinds_table() -> str:
    """Return the kinds of events with their data."""
    rows = (
        (f"`{name}`", ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind)), _prose(kind))
        for name, kind in KINDS.items()
    )
    return _table(("kind", "data", "says"), rows)


def limits_table() -> str:
    """Return the limits and times of the protocol."""
    rows = (
        (f"`{module.__name__.partition('.')[2]}.{name}`", _limit(getattr(module, name), name), meaning)
        for module, name, meaning in _LIMITS
    )
    return _table(("constant", "value", "holds for"), rows)


def selectors_table() -> str:
    """Return the parts of an operator selector."""
    return _table(("part", "means"), operator_selector.SYNTAX.items())


def condition_names_table() -> str:
    """Return the names that a condition may use."""
    functions = {f"{name}(...)": meaning for name, meaning in operator_conditions.FUNCTIONS.items()}
    names = {
        **operator_conditions.STATISTICS,
        **operator_conditions.TENSORS,
        **operator_conditions.RUN_NAMES,
        **functions,
    }
    return _table(("name", "is"), ((f"`{name}`", meaning) for name, meaning in names.items()))


def actions_table() -> str:
    """Return the named actions of a breakpoint."""
    actions = operator_breakpoints.ACTIONS.items()
    return _table(("action", "does"), ((f"`{name}`", meaning) for name, meaning in actions))


def patterns_table() -> str:
    """Return what the words for patterns in the other tables stand for."""
    return _table(("word", "pattern"), ((word, f"`{pattern}`") for pattern, word in _PATTERNS.items()))


def hooks_reference() -> str:
    """Return the hooks with their signatures."""
    return "\n\n".join(f"### `{name}`\n\n{_function(hook)}" for name, hook in HOOKS.items())


def plugin_api_reference(choose: Callable[[Any], bool]) -> str:
    """Return the public names of `edgeloop` that `choose` takes."""
    found = ((name, getattr(edgeloop, name)) for name in edgeloop.__all__)
    return "\n\n".join(f"### `{name}`\n\n{_class_or_function(value)}" for name, value in found if choose(value))


def testing_reference() -> str:
    """Return the public names of `edgeloop.testing`."""
    return "\n\n".join(f"### `{name}`\n\n{_class_or_function(getattr(testing, name))}" for name in testing.__all__)


def routes_table(routes: Iterable[Route]) -> str:
    """Return the operations of the local API by their tag."""
    by_tag: dict[str, list[Route]] = {}
    for route in routes:
        by_tag.setdefault(route.tag, []).append(route)
    return "\n\n".join(
        f"### {tag.capitalize()}\n\n" + _table(("method", "path", "does", "takes", "answer"), map(_route_row, listed))
        for tag, listed in by_tag.items()
    )


def local_api() -> Iterator[Route]:
    """Yield the routes of every `<noun>_routes` function; they are listed, never called, so they need no services."""
    plugins = built_in_plugins()
    for module in pkgutil.iter_modules(http.__path__):
        if module.name.endswith("_routes"):
            routes = getattr(importlib.import_module(f"{http.__name__}.{module.name}"), module.name)
            services = inspect.signature(routes).parameters.values()
            yield from routes(*(plugins if service.annotation == "Plugins" else None for service in services))


def built_in_plugins() -> Plugins:
    """Return the plugins of this distribution; what else is installed here does not belong into its documentation."""
    return load_plugins(entry for entry in installed_plugins() if entry.dist and entry.dist.name == "edgeloop")


def settings_table() -> str:
    """Return the keys of `edgeloop.toml`."""
    rows = (
        (f"`{one.key}`", one.kind, _setting_default(one), _plain(one.description))
        for one in settings.describe_settings()
    )
    return _table(("key", "is", "default", "meaning"), rows)


def _setting_default(one: settings.SettingDescription) -> str:
    if one.required:
        return "must be given"
    return "" if one.default in (None, [], {}) else f"`{json.dumps(one.default)}`"


class _Check(typing.Protocol):
    @property
    def id(self) -> str: ...

    @property
    def asks(self) -> str: ...


def checks_table(checks: Sequence[_Check]) -> str:
    """Return the checks of a doctor."""
    return _table(("check", "answers"), ((f"`{check.id}`", check.asks) for check in checks))


def commands_reference() -> str:
    """Return the help of every command, with those that the built-in plugins declare."""
    with tempfile.TemporaryDirectory() as home:
        folders = Folders(Path(home))
        built_in_plugins().write_declarations(folders.declarations)
        declared = tuple(declared_commands(Declarations(folders)).values())
    built_in = {title: tuple(one.load() for one in listed) for title, listed in SECTIONS.items()}
    sections = {**built_in, "Tools of plugins": declared}
    parent = click.Context(command_line, info_name="edgeloop", terminal_width=100)
    return "\n\n".join(
        f"## {title}\n\n" + "\n\n".join(text for command in commands for text in _help_of(command, parent))
        for title, commands in sections.items()
        if commands
    )


def _help_of(command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent, terminal_width=100)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"### {context.command_path}\n\n```text\n{text}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _help_of(child, context)


def _route_row(route: Route) -> tuple[str, ...]:
    takes = f"`{route.body.__name__}`" if route.body else ""
    if route.query is not None:
        takes += "?" + ", ".join(f"`{field.name}`" for field in dataclasses.fields(route.query))
    answer = str(route.answer_status)
    if route.result is not None:
        answer += f" `{route.result.__name__}`"
    elif route.answer_status == 200:  # a response of its own
        answer += f" `{route.media}`"
    path = plain_path(route.path)
    return (route.method, f"`{path}`", _plain(route.summary), takes, answer)


def _class_or_function(value: Any) -> str:
    if not isinstance(value, type):
        return _function(value)
    if dataclasses.is_dataclass(value):
        annotations = inspect.get_annotations(value)
        lines = [
            f"{field.name}: {annotations[field.name]}{_default(field, ' = ')}" for field in dataclasses.fields(value)
        ]
        return _code(lines) + "\n\n" + _documentation(value)
    if issubclass(value, enum.Enum):
        return _documentation(value) + "\n\n" + ", ".join(f"`{member.value}`" for member in value)
    members = ((name, member) for name, member in vars(value).items() if not name.startswith("_"))
    return _documentation(value) + "\n\n" + "\n\n".join(_function(member, name) for name, member in members)


def _function(function: Any, name: str = "") -> str:
    if isinstance(function, property):
        annotation = inspect.get_annotations(typing.cast("Any", function.fget))["return"]
        return _code([f"{name}: {annotation}"]) + "\n\n" + _documentation(function)
    signature = inspect.signature(function)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        if parameter.name != "self":
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
            parameters.append(f"{stars}{parameter.name}: {parameter.annotation}{default}")
    begin, end = f"def {function.__name__}(", f") -> {signature.return_annotation}"
    lines = [begin + ", ".join(parameters) + end]
    if len(lines[0]) > 100:
        lines = [begin, *(f"    {parameter}," for parameter in parameters), end]
    return _code(lines) + "\n\n" + _documentation(function)


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```text", *lines, "```"])


def _documentation(value: object) -> str:
    return inspect.cleandoc(value.__doc__ or "")


def _dataclass_section(title: str, kind: type) -> str:
    hints = typing.get_type_hints(kind)
    rows = (
        (f"`{field.name}`", _kind(hints[field.name]), _constraints(field.metadata, hints[field.name]), _default(field))
        for field in dataclasses.fields(kind)
    )
    return f"### {title}\n\n{_documentation(kind)}\n\n" + _table(("field", "type", "bounds", "default"), rows)


def _kind(hint: Any) -> str:
    """Return how a type looks as JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments)
    if origin is typing.Literal:
        return " or ".join(f'`"{argument}"`' for argument in arguments)
    if origin is tuple:
        return f"array of {_kind(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"object of {_kind(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f'`"{member.value}"`' for member in hint)
    if dataclasses.is_dataclass(hint):
        return f"`{typing.cast('type', hint).__name__}`"
    plain = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "any value"}
    return plain[hint]


def _constraints(metadata: Mapping[str, Any], hint: Any) -> str:
    unit = " characters" if hint is str else " items"
    found = []
    if "pattern" in metadata:
        found.append(_PATTERNS.get(metadata["pattern"], f"`{metadata['pattern']}`"))
    for low, high, suffix in (("min_length", "max_length", unit), ("ge", "le", "")):
        if low in metadata and high in metadata:
            found.append(f"{_number(metadata[low])} to {_number(metadata[high])}{suffix}")
        elif low in metadata:
            found.append(f"at least {_number(metadata[low])}{suffix}")
        elif high in metadata:
            found.append(f"at most {_number(metadata[high])}{suffix}")
    found += [
        f"{words} {_number(metadata[name])}" for name, words in (("gt", "above"), ("lt", "below")) if name in metadata
    ]
    return ", ".join(found)


def _default(field: dataclasses.Field[Any], before: str = "") -> str:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value is dataclasses.MISSING:
        return ""
    return f"{before}{value!r}".replace("PosixPath", "Path") if before else f"`{codec.encode_json(value).decode()}`"


def _limit(value: Any, name: str) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if name.endswith(("_BYTES", "_PAYLOAD")):
        return next(f"{value // size} {unit}" for size, unit in _UNITS if value >= size)
    return _number(value)


def _number(value: float) -> str:
    is_power = isinstance(value, int) and value > 2**20 and value.bit_count() == 1
    return f"2^{int(value).bit_length() - 1}" if is_power else f"{value:,}"


def _prose(value: object) -> str:
    return _plain(" ".join(_documentation(value).split()))


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
