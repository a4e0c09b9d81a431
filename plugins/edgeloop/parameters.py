"""The types that a plugin's parameters may have, and the list that the command line builds its commands from.

Parameters are one flat frozen dataclass: `str`, `int`, `float`, `bool`, enums and `Literal` of strings, `ModelPath`,
`DataPath`, an optional of these, or a `tuple[..., ...]` of these. Constraints and help stand in `field(metadata={...})` under
pydantic's names: `ge`, `gt`, `le`, `lt`, `min_length`, `max_length`, `pattern`, `description`. A field without a
default is a positional argument on the command line; one with a default is an option.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NewType

from edgeloop_shared.errors import InvalidInputError

ModelPath = NewType("ModelPath", str)
"""A model file: absolute, or relative to the workspace. The command line completes and resolves it."""

DataPath = NewType("DataPath", str)
"""A data file (`.npz`, `.npy`, a folder): absolute, or relative to the workspace."""

PATH_KINDS = ("model-path", "data-path")
CONSTRAINTS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
_KINDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "flag",
    ModelPath: "model-path",
    DataPath: "data-path",
}
_TEXT = frozenset({"min_length", "max_length", "pattern"})
_NUMBER = frozenset({"ge", "gt", "le", "lt"})
_FITTING: dict[str, frozenset[str]] = {
    "text": _TEXT,
    "model-path": _TEXT,
    "data-path": _TEXT,
    "integer": _NUMBER,
    "number": _NUMBER,
    "flag": frozenset(),
    "choice": frozenset(),
    "many": frozenset({"min_length", "max_length"}),
}


@dataclasses.dataclass(frozen=True)
class ParameterDescription:
    """One parameter as the command line and a form show it; every value is plain JSON.

    `kind` is one of text, integer, number, flag, choice, model-path, data-path.
    """

    name: str
    kind: str
    description: str
    required: bool
    default: Any = None
    choices: tuple[str, ...] = ()
    many: bool = False
    constraints: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def describe_parameters(parameters: type) -> tuple[ParameterDescription, ...]:
    """Return a description per field of the dataclass `parameters`.

    Raises `TypeError`, naming the field, for a type that parameters may not have.
    """
    if not dataclasses.is_dataclass(parameters):
        raise TypeError(f"{parameters.__qualname__} is not a dataclass")
    hints = typing.get_type_hints(parameters)
    return tuple(_describe(field, hints[field.name], parameters) for field in dataclasses.fields(parameters))


def in_workspace(parameters: Any, folder: Path) -> Any:
    """Return `parameters` with every relative `ModelPath` and `DataPath` made absolute: relative means to the workspace.

    Raises `InvalidInputError` for a path that is empty or holds a NUL character.
    """
    changes: dict[str, Any] = {}
    for described in describe_parameters(type(parameters)):
        value = getattr(parameters, described.name)
        if described.kind in PATH_KINDS and value is not None:
            names = value if described.many else (value,)
            paths = tuple(_absolute(described.name, name, folder) for name in names)
            changes[described.name] = paths if described.many else paths[0]
    return dataclasses.replace(parameters, **changes)


def _describe(field: dataclasses.Field[Any], hint: Any, owner: type) -> ParameterDescription:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if len(options) != 1:
            raise TypeError(f"{owner.__qualname__}.{field.name}: a parameter cannot be one of several types")
        hint = options[0]
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    choices: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Literal:
        kind, choices = "choice", typing.get_args(hint)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        kind, choices = "choice", tuple(member.value for member in hint)
    elif hint in _KINDS:
        kind = _KINDS[hint]
    else:
        raise TypeError(f"{owner.__qualname__}.{field.name}: {hint!r} is not a type that parameters may have")
    if not all(isinstance(choice, str) for choice in choices):
        raise TypeError(f"{owner.__qualname__}.{field.name}: the choices of a parameter are strings")
    constraints = {key: field.metadata[key] for key in CONSTRAINTS if key in field.metadata}
    unfit = constraints.keys() - _FITTING["many" if many else kind]
    if unfit:
        raise TypeError(f"{owner.__qualname__}.{field.name}: {min(unfit)!r} is no constraint for this type")
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = field.default if field.default is not dataclasses.MISSING else None
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return ParameterDescription(
        name=field.name,
        kind=kind,
        description=str(field.metadata.get("description", "")),
        required=required,
        default=default.value if isinstance(default, enum.Enum) else default,
        choices=choices,
        many=many,
        constraints=constraints,
    )


def _absolute(field_name: str, path: str, folder: Path) -> str:
    if not path or "\0" in path:
        message = "must name a file, without NUL characters"
        raise InvalidInputError(
            f"{field_name}: {message}.", details={"fields": [{"field": field_name, "message": message}]}
        )
    return str(folder / path)
