"""What TAB offers for arguments: ids, names and files. A completer never starts the daemon, and is silent when it is down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.declarations import Declarations, Record
from edgeloop_daemon.cli.session import SETTINGS_FILE, workspace_folder
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import EdgeloopError

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
SCRIPTS = (".py",)
MODELS = (".mnn", ".onnx")
ARRAYS = (".npz", ".npy")
_SECONDS = 0.5  # that the daemon may take to answer; a user who presses TAB waits for it
_NEWEST = 50
_MAX_DEPTH = 4
_MAX_FILES = 5000  # looked at; a folder that holds more is completed in part


def _asking(find: Callable[[Client], Iterator[tuple[str, str]]]) -> Completer:
    """Return a completer that offers the `(value, help)` pairs which `find` gets from a daemon that runs."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        client = Client(Folders.of_user(), timeout=_SECONDS)
        given = context.params.values()
        try:
            if not client.is_running():
                return []
            return [
                CompletionItem(value, help=text)
                for value, text in find(client)
                if value.startswith(incomplete) and value not in given
            ]
        except (EdgeloopError, OSError, ValueError, KeyError, TypeError):
            return []  # an error message would land in the middle of what the user types

    return complete


def _jobs(client: Client) -> Iterator[tuple[str, str]]:
    for job in client.items("/jobs", limit=_NEWEST):
        yield job["id"], f"{job['name']}, {job['state']}"


def _runs(client: Client) -> Iterator[tuple[str, str]]:
    for run in client.items("/runs", limit=_NEWEST):
        yield run["id"], f"{run['script']}, {run['state']}"


def _work(client: Client) -> Iterator[tuple[str, str]]:
    yield from _jobs(client)
    yield from _runs(client)


def _active_work(client: Client) -> Iterator[tuple[str, str]]:
    ended = (", succeeded", ", failed", ", cancelled")
    return ((value, text) for value, text in _work(client) if not text.endswith(ended))


def _devices(client: Client) -> Iterator[tuple[str, str]]:
    found = client.items("/devices")
    names = [device["info"]["name"] for device in found]
    for device, name in zip(found, names, strict=True):
        state = "linked" if device["is_linked"] else "away"
        # A name that two devices share is none; one with spaces would have to be quoted.
        is_clear = names.count(name) == 1 and name.isprintable() and " " not in name
        yield (name, f"{device['id']}, {state}") if is_clear else (device["id"], f"{name}, {state}")


def _virtual_devices(client: Client) -> Iterator[tuple[str, str]]:
    for device in client.items("/devices"):
        if device["info"]["is_virtual"]:
            yield device["info"]["name"], "linked" if device["is_linked"] else "away"


def _plugins(client: Client) -> Iterator[tuple[str, str]]:
    for plugin in client.items("/plugins"):
        yield plugin["name"], plugin["state"]


def _tokens(client: Client) -> Iterator[tuple[str, str]]:
    for token in client.items("/tokens"):
        yield token["name"], ""


def _workspaces(client: Client) -> Iterator[tuple[str, str]]:
    for workspace in client.items("/workspaces"):
        yield workspace["path"], workspace["name"]


def _breakpoints(client: Client) -> Iterator[tuple[str, str]]:
    from edgeloop_daemon.cli.break_commands import place_of  # here: those commands need these completers

    folder = Path.cwd()
    for workspace in client.items("/workspaces"):
        if folder.is_relative_to(workspace["path"]):
            for one in client.items(f"/workspaces/{workspace['id']}/breakpoints"):
                yield one["id"], place_of(one)


runs = _asking(_runs)
work = _asking(_work)
active_work = _asking(_active_work)
devices = _asking(_devices)
virtual_devices = _asking(_virtual_devices)
plugins = _asking(_plugins)
tokens = _asking(_tokens)
breakpoints = _asking(_breakpoints)
workspaces = _asking(_workspaces)


def templates(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the templates."""
    return _declared(_declarations().templates, incomplete)


def backends(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the training backends."""
    return _declared(_declarations().backends, incomplete)


def settings(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the parameters of the backend that is named (or of all) as `NAME=`."""
    chosen = context.params.get("backend")
    found = [backend for backend in _declarations().backends if chosen in (None, backend["name"])]
    return [
        CompletionItem(f"{parameter['name']}=", help=parameter["description"])
        for backend in found
        for parameter in backend["parameters"]
        if f"{parameter['name']}=".startswith(incomplete)
    ]


def checks(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the tables [check.NAME] of the workspace's edgeloop.toml that are not named yet."""
    import tomllib  # 10 ms that `--help` and any other TAB need not spend

    folder = workspace_folder(Path.cwd())
    try:
        tables = {} if folder is None else tomllib.loads((folder / SETTINGS_FILE).read_text())["check"]
        models = {name: str(table.get("model", "")) for name, table in tables.items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return []  # `edgeloop check` says what is wrong
    given = context.params.get("names") or ()
    return [
        CompletionItem(name, help=model)
        for name, model in models.items()
        if name.startswith(incomplete) and name not in given
    ]


def files(suffixes: Sequence[str]) -> Completer:
    """Return a completer that offers the files with one of `suffixes` below the folder that is typed so far."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # The shell's own completion helps where nothing fits: the user may mean a file of another kind.
        return matching_files(suffixes, incomplete) or [CompletionItem(incomplete, type="file")]

    return complete


def matching_files(suffixes: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """Return the files with one of `suffixes` below the folder that is typed so far."""
    folder, _, begin = incomplete.rpartition("/")
    top = Path(f"{folder}/" if "/" in incomplete else ".").expanduser()
    prefix = f"{folder}/" if "/" in incomplete else ""
    return [CompletionItem(prefix + path) for path in sorted(_files_below(top, begin, suffixes))]


def _files_below(top: Path, begin: str, suffixes: Sequence[str]) -> Iterator[str]:
    """Yield the paths below `top`, relative to it, that begin with `begin` and end with one of `suffixes`."""
    looked_at = 0
    for folder, folders, names in os.walk(top):
        inside = Path(folder).relative_to(top)
        depth = len(inside.parts)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__")) and depth + 1 < _MAX_DEPTH and (depth or name.startswith(begin))
        )
        looked_at += len(names) + len(folders)
        if looked_at > _MAX_FILES:
            return
        for name in names:
            path = (inside / name).as_posix()
            if name.endswith(tuple(suffixes)) and path.startswith(begin) and not name.startswith("."):
                yield path


def _declarations() -> Declarations:
    return Declarations(Folders.of_user(), refresh=False)


def _declared(records: Sequence[Record], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(record["name"], help=record["summary"])
        for record in records
        if record["name"].startswith(incomplete)
    ]
