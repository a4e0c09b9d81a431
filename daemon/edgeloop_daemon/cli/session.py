"""What every command needs: the daemon (started when it is down) and the workspace that the user stands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import InvalidInputError

SETTINGS_FILE = "edgeloop.toml"
F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One call of the command line."""

    def __init__(self, folders: Folders, folder: Path) -> None:
        self.folders = folders
        self.folder = folder
        self.as_json = False
        self.error_status = 1  # with which the command line ends when an error of ours is raised
        self._client = Client(folders)

    @property
    def client(self) -> Client:
        """The client, whether or not the daemon runs."""
        return self._client

    def daemon(self) -> Client:
        """Return the client of a daemon that runs; start it when it is down."""
        from edgeloop_daemon.cli.daemon_process import start_daemon  # `--help` starts nothing

        if start_daemon(self._client) and not self.as_json:
            click.echo("Started the edgeloop daemon (`edgeloop down` stops it).", err=True)
        return self._client

    def workspace(self) -> Record:
        """Open the workspace that the current folder belongs to. Raises `InvalidInputError` when it is in none."""
        if (folder := workspace_folder(self.folder)) is not None:
            return self.daemon().post("/workspaces", {"path": str(folder)})
        hint = (
            "Go to one, or make one: `edgeloop init NAME --template digits-mnn` "
            "(or `edgeloop init . --template empty` here)."
        )
        context = click.get_current_context(silent=True)
        if context is not None and "everywhere" in context.params:
            hint = f"`{context.command_path} --all` shows those of all workspaces. {hint}"
        raise InvalidInputError(
            f"{self.folder} is not in a workspace: neither it nor a folder above it holds an {SETTINGS_FILE}.",
            hint=hint,
        )


def workspace_folder(folder: Path) -> Path | None:
    """Return the folder of the workspace that `folder` belongs to, or None when it is in none."""
    return next((one for one in (folder, *folder.parents) if (one / SETTINGS_FILE).is_file()), None)


def json_option(command: F) -> F:
    """Add `--json`: the command prints one JSON value on stdout, its errors included."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        session = context.find_object(Session)
        if value and session is not None:
            session.as_json = True

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Print one JSON value instead of text.",
    )
    return option(command)
