"""`edgeloop.toml`: what a workspace is called, how it trains and what runs on a device."""

from __future__ import annotations

import dataclasses
import difflib
import re
import shlex
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeloop_shared.channels import LOST_SECONDS, MAX_LOST_SECONDS
from edgeloop_shared.checks import MAX_CHECKS, Check
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import InvalidInputError, SettingsError
from edgeloop_shared.models import MAX_MEMORY_MB, MIN_MEMORY_MB, NAME_PATTERN

SETTINGS_FILE = "edgeloop.toml"
MAX_SETTINGS_BYTES = 1024 * 1024
MAX_NAME = 100


@dataclass(frozen=True)
class TrainSettings:
    """The table `[train]`."""

    command: tuple[str, ...] = field(
        default=(),
        metadata={
            "description": "What `edgeloop train` runs: a string that is split as a shell would, or an array of arguments. "
            "`python` is the environment that edgeloop runs in."
        },
    )
    backend: str = field(default="local", metadata={"min_length": 1, "description": "Where training runs."})
    data: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "description": "Data sets by name: a path (relative to the workspace, or absolute) or a URL. A training finds "
            "NAME as the environment variable `EDGELOOP_DATA_NAME`."
        },
    )


@dataclass(frozen=True)
class RunSettings:
    """The table `[run]`."""

    include: tuple[str, ...] = field(
        default=("*.mnn", "*.npz", "*.npy", "models/**", "assets/**"),
        metadata={
            "description": "Which files travel to a device beside the script and the workspace's Python files: patterns "
            "relative to the workspace."
        },
    )
    device: str | None = field(
        default=None,
        metadata={"min_length": 1, "description": "The name or id of the device to run on when none is named."},
    )
    memory_mb: int | None = field(
        default=None,
        metadata={
            "ge": MIN_MEMORY_MB,
            "le": MAX_MEMORY_MB,
            "description": "How much memory a script may allocate on the device, in MiB. The default is the device's own "
            "bound: half of its memory.",
        },
    )


@dataclass(frozen=True)
class DebugSettings:
    """The table `[debug]`."""

    lost_link_seconds: float = field(
        default=LOST_SECONDS,
        metadata={
            "gt": 0,
            "le": MAX_LOST_SECONDS,
            "description": "For how many seconds a debug session waits for a device whose link is lost, and a stopped script for "
            "its computer.",
        },
    )


@dataclass(frozen=True)
class Settings:
    """An `edgeloop.toml`."""

    name: str = field(
        metadata={
            "min_length": 1,
            "max_length": MAX_NAME,
            "pattern": NAME_PATTERN,
            "description": "What the workspace is called.",
        }
    )
    train: TrainSettings = field(default=TrainSettings(), metadata={"description": "How the model is trained."})
    run: RunSettings = field(default=RunSettings(), metadata={"description": "What runs on a device."})
    debug: DebugSettings = field(default=DebugSettings(), metadata={"description": "How scripts are debugged."})
    check: Mapping[str, Check] = field(
        default_factory=dict,
        metadata={"max_length": MAX_CHECKS, "description": "What `edgeloop check` expects, by name."},
    )


@dataclass(frozen=True)
class SettingDescription:
    """One key for the documentation; `key` is dotted, `default` as it would stand in the file (None: there is none)."""

    key: str
    kind: str
    default: Any
    required: bool
    description: str


def describe_settings() -> tuple[SettingDescription, ...]:
    """Return all keys in the order in which they are declared."""
    return tuple(_describe(Settings, ""))


def load_settings(folder: Path) -> Settings:
    """Return the settings in the workspace at `folder`. Raises `SettingsError` that names the file and the line."""
    path = folder / SETTINGS_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}.", hint="Every workspace has one; `edgeloop init` writes it."
        ) from None
    if len(data) > MAX_SETTINGS_BYTES:
        raise _error(path, 1, f"has more than {MAX_SETTINGS_BYTES} bytes", "Settings are a few lines.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _error(path, line, "holds bytes that are not UTF-8", "Save the file as UTF-8.") from None
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> Settings:
    """Return the settings in `text`, the content of the file at `path`. Raises `SettingsError`."""
    try:
        record = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of thousands of digits
        reason, line = _syntax_error(str(error), text)
        raise _error(path, line, f"is not valid TOML: {reason}", "See https://toml.io for the form.") from None
    _check_keys(Settings, record, "", text, path)
    train = record.get("train", {})
    if isinstance(train.get("command"), str):
        try:
            train["command"] = shlex.split(train["command"])
        except ValueError as error:
            line = _line_of("train.command", text)
            raise _error(path, line, f"train.command: {error}", "Close every quotation.", "train.command") from None
    try:
        return decode(Settings, record)
    except InvalidInputError as error:
        found = error.details["fields"][0]
        key = str(found["field"])
        general = re.sub(r"\Acheck\.[^.]+", "check.NAME", key.partition("[")[0])
        wanted = next((one for one in describe_settings() if one.key == general), None)
        hint = f"{wanted.key} is {wanted.kind}: {wanted.description}" if wanted else ""
        raise _error(path, _line_of(key, text), f"{key} {found['message']}", hint, key) from None


def _error(path: Path, line: int, reason: str, hint: str, key: str = "") -> SettingsError:
    fields = [{"field": key, "message": reason}] if key else []
    details = {"file": str(path), "line": line, **({"fields": fields} if fields else {})}
    return SettingsError(f"{path}, line {line}: {reason}.", hint=hint, details=details)


def _syntax_error(message: str, text: str) -> tuple[str, int]:
    """Return the reason and the line of an error of `tomllib`."""
    match = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)\Z", message)
    if match is None:
        return message, 1
    last = text.rstrip("\n").count("\n") + 1
    return message[: match.start()], int(match[1]) if match[1] else last


def _check_keys(kind: type, table: object, prefix: str, text: str, path: Path) -> None:
    """Raise `SettingsError` for a key that `kind` does not have, or for a value where a table must be."""
    if not isinstance(table, dict):
        key = prefix.removesuffix(".")
        allowed = ", ".join(one.name for one in dataclasses.fields(kind))
        raise _error(
            path, _line_of(key, text), f"{key} must be a table", f"Write [{key}] with the keys {allowed}.", key
        )
    hints = typing.get_type_hints(kind)
    for name, value in table.items():
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            meant = f"Did you mean {close[0]!r}? " if close else ""
            where = f"[{prefix.removesuffix('.')}]" if prefix else "the top level"
            hint = f"{meant}Allowed in {where}: {', '.join(hints)}."
            key = f"{prefix}{name}"
            raise _error(path, _line_of(key, text), f"{key} is not a known setting", hint, key)
        if dataclasses.is_dataclass(hints[name]):
            _check_keys(hints[name], value, f"{prefix}{name}.", text, path)
        elif (each := _tables_of(hints[name])) and isinstance(value, dict):
            for own_name, table in value.items():
                _check_keys(each, table, f"{prefix}{name}.{own_name}.", text, path)


def _tables_of(hint: Any) -> type | None:
    """Return the kind of the tables in a table whose keys are the user's own names; None for another kind of value."""
    kinds = typing.get_args(hint)
    return typing.cast("type", kinds[1]) if len(kinds) == 2 and dataclasses.is_dataclass(kinds[1]) else None


def _line_of(key: str, text: str) -> int:
    """Return the 1-based line of a dotted key, or of the innermost table above it that has a line."""
    wanted = tuple(re.sub(r"\[\d+\]", "", key).split("."))
    best, found = 0, 1
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            here = table = _parts(header[1])
        elif assignment := re.match(
            r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line
        ):
            here = table + _parts(assignment[1])
        else:
            continue
        common = min(len(here), len(wanted))
        if best < common and wanted[:common] == here[:common]:
            best, found = common, number
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _describe(kind: type, prefix: str) -> typing.Iterator[SettingDescription]:
    hints = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        hint = hints[one.name]
        if dataclasses.is_dataclass(hint):
            yield from _describe(typing.cast("type", hint), f"{prefix}{one.name}.")
            continue
        if each := _tables_of(hint):
            yield from _describe(each, f"{prefix}{one.name}.NAME.")
            continue
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        default: Any = None
        if one.default is not dataclasses.MISSING:
            default = one.default
        elif one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        description = str(one.metadata["description"])
        yield SettingDescription(f"{prefix}{one.name}", _kind(hint), encode(default), required, description)


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in typing.get_args(hint))
    return _KINDS[hint]


_KINDS: dict[Any, str] = {
    str: "a string",
    str | None: "a string",
    int | None: "an integer",
    int: "an integer",
    float: "a number",
    float | None: "a number",
    Mapping[str, float]: "a table of numbers",
    tuple[str, ...]: "an array of strings",
    Mapping[str, str]: "a table of strings",
}
