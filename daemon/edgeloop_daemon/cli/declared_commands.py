"""The commands that plugins declare, built from the daemon's cached declarations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.declarations import OPERATIONS_HELP, Declarations, Record
from edgeloop_daemon.cli.following import follow_job
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.output import clean, clean_lines, print_json, print_table, size
from edgeloop_daemon.cli.session import Session, json_option

_PATHS = ("model-path", "data-path")
_NOTHING = "-"
_SHORT = {"device": "-d", "output": "-o"}  # as the built-in commands have it
_ERROR = 2  # the exit status of a tool that judges when it could not


def declared_commands(declarations: Declarations) -> dict[str, click.Command]:
    """Return a command per model tool, and a group per group of workspace operations."""
    found: dict[str, click.Command] = {
        tool["name"]: _command(tool, f"tools/{tool['name']}") for tool in declarations.tools
    }
    for operation in declarations.operations:
        group = found.setdefault(operation["group"], Group(operation["group"], help=OPERATIONS_HELP))
        if isinstance(group, click.Group):
            group.add_command(_command(operation, f"{operation['group']}/{operation['name']}"))
    return found


def _command(declaration: Record, path: str) -> click.Command:
    parameters = declaration["parameters"]
    paths = [parameter["name"] for parameter in parameters if parameter["kind"] in _PATHS]

    @json_option
    @click.pass_context
    def call(context: click.Context, /, **values: Any) -> None:
        session: Session = context.obj
        if declaration.get("judges"):
            session.error_status = _ERROR
        workspace = session.workspace()
        client = session.daemon()
        body = {
            name: _plain(name, value, paths, session.folder)
            for name, value in values.items()
            if value not in (None, ())
        }
        answer = client.start(f"/workspaces/{workspace['id']}/{path}", body)
        result: Any = answer
        if "state" in answer and "kind" in answer:
            result = follow_job(client, answer, declaration["name"], show_log=False)["result"]
        if session.as_json:
            print_json(result)
        elif isinstance(result.get("report"), str):
            click.echo(clean_lines(result["report"]))
        else:
            print_result(result)
        if declaration.get("judges"):
            context.exit(int(result["exit_status"]))

    command = click.command(declaration["name"], help=declaration["summary"])(call)
    described = [f"{p['name'].upper()}  {p['description']}" for p in parameters if p["required"]]
    command.help = "\n\n".join(
        [declaration["summary"], "\b\n" + "\n".join(described)] if described else [declaration["summary"]]
    )
    # click collects decorators' parameters in reverse; here they are in the order of the declaration.
    command.params = [_parameter(parameter) for parameter in parameters] + command.params
    return command


def _parameter(parameter: Record) -> click.Parameter:
    name, kind = parameter["name"], _type(parameter)
    complete = completers.files(completers.MODELS) if parameter["kind"] == "model-path" else None
    if parameter["required"]:
        nargs = -1 if parameter["many"] else 1
        return click.Argument([name], type=kind, nargs=nargs, required=True, shell_complete=complete)
    option = f"--{name.replace('_', '-')}"
    short = (_SHORT[name],) if name in _SHORT else ()
    if parameter["kind"] == "flag":
        switch = f"{option}/--no-{name.replace('_', '-')}" if parameter["default"] else option
        return click.Option([switch, name], is_flag=True, default=None, help=parameter["description"])
    default = parameter["default"]
    shown = ", ".join(map(str, default)) if isinstance(default, list) else default
    text = parameter["description"] + (f"  [default: {shown}]" if default not in (None, "", [], ()) else "")
    many = parameter["many"]
    return click.Option(
        [option, *short, name], type=kind, multiple=many, default=None, help=text, shell_complete=complete
    )


def _type(parameter: Record) -> Any:
    limits: Mapping[str, Any] = parameter["constraints"]
    bounds = {
        "min": limits.get("ge", limits.get("gt")),
        "max": limits.get("le", limits.get("lt")),
        "min_open": "gt" in limits,
        "max_open": "lt" in limits,
    }
    match parameter["kind"]:
        case "integer" | "number" if not limits or parameter["many"]:
            return click.INT if parameter["kind"] == "integer" else click.FLOAT
        case "integer":
            return click.IntRange(**bounds)
        case "number":
            return click.FloatRange(**bounds)
        case "choice":
            return click.Choice(parameter["choices"])
        case "flag":
            return click.BOOL
        case "model-path" | "data-path":
            return click.Path()
        case _:
            return click.STRING


def _plain(name: str, value: Any, paths: Sequence[str], folder: Path) -> Any:
    """Return a value as JSON takes it; paths become absolute, since the daemon stands in another folder."""
    if isinstance(value, tuple):
        return [_plain(name, item, paths, folder) for item in value]
    return str((folder / value).resolve()) if name in paths else value


def print_result(result: Mapping[str, Any], indent: str = "") -> None:
    """Print a tool's result: scalars as lines, lists of records as tables or, where those are too wide, as blocks of lines."""
    plain = {name: value for name, value in result.items() if not _is_nested(value)}
    width = max((len(_title(name)) for name in plain), default=0)
    for name, value in plain.items():
        click.echo(f"{indent}{_title(name):<{width}}  {_cell(name, value)}")
    for name, value in result.items():
        if isinstance(value, dict) and value:
            click.echo(f"{indent}{_title(name)}")
            print_result(value, indent + "  ")
        elif _is_nested(value):
            click.echo(f"{'' if indent else chr(10)}{indent}{click.style(_title(name), bold=True)}")
            _print_records(value, indent)


def _print_records(records: Sequence[Mapping[str, Any]], indent: str) -> None:
    columns = list(records[0])
    if not any(_is_nested(row[column]) for row in records for column in columns):
        # Where the table is too wide, what no row has is left out of it.
        telling = [column for column in columns if any(_cell(column, row[column]) != _NOTHING for row in records)]
        for shown in (columns, telling):
            numeric = [_title(c) for c in shown if all(isinstance(row[c], int | float) for row in records)]
            rows = [[_cell(column, row[column]) for column in shown] for row in records]
            if print_table([_title(column) for column in shown], rows, right=numeric, indent=indent):
                return
    for number, row in enumerate(records):
        if number:
            click.echo()
        print_result(row, indent + "  ")


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and bool(value)


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("bytes"):
        return size(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_cell(name, item) for item in value)
    return clean(_near(str(value)))


def _near(text: str) -> str:
    """Return a path below the current folder as a relative one."""
    return os.path.relpath(text) if text.startswith(f"{Path.cwd()}{os.sep}") else text
