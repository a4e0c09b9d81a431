"""The workspaces: opened, created from templates, and trusted or not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeloop.declarations import ProjectTemplate
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import WorkspaceClosed, WorkspaceDistrusted, WorkspaceOpened, WorkspaceTrusted
from edgeloop_daemon.plugins import Plugins
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.workspaces.settings import SETTINGS_FILE, Settings, load_settings
from edgeloop_daemon.workspaces.templates import check_requirements, copy_template
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import ConflictError, InvalidInputError, NotFoundError, NotTrustedError, SourceControlError

_COLUMNS = "id, path, name, is_trusted, opened_at"


@dataclass(frozen=True)
class Workspace:
    """An open workspace. `path` is absolute; `opened_at` is in seconds since the UNIX epoch."""

    id: str
    path: str
    name: str
    is_trusted: bool
    opened_at: float

    @property
    def folder(self) -> Path:
        """The root folder."""
        return Path(self.path)


@dataclass(frozen=True)
class Trust:
    """Whether a workspace's code may run, and what of its repository would run commands: one sentence each."""

    is_trusted: bool
    risks: tuple[str, ...]


class Workspaces:
    """All workspaces that are open on this computer."""

    def __init__(self, database: Database, plugins: Plugins) -> None:
        self._database = database
        self._plugins = plugins

    async def open(self, path: Path, *, trust: bool = False) -> Workspace:
        """Open the workspace at the absolute `path`; one that is open already is only read again.

        Nothing of it runs. `trust` trusts it as well; without it a workspace keeps the trust that it has. Raises
        `InvalidInputError` for a folder that is no workspace, `SettingsError`, and `SourceControlError` for one that is in no
        repository.
        """
        path, settings = await asyncio.to_thread(_read, path)
        known = await self._at(path)
        if known is None:
            await self._check_repository(path)
        return await self._enter(path, settings.name, is_trusted=trust)

    async def open_around(self, folder: Path) -> Workspace:
        """Open the workspace that an absolute folder lies in. Raises `InvalidInputError` when it lies in none."""

        def find() -> Path | None:
            around = (folder, *folder.parents)
            return next((path for path in around if (path / SETTINGS_FILE).is_file()), None)

        found = await asyncio.to_thread(find)
        if found is None:
            raise InvalidInputError(
                f"{str(folder)[:512]} is not in a workspace: neither it nor a folder above it holds an {SETTINGS_FILE}.",
                hint="Open a folder of a workspace, or make one: `edgeloop init`.",
            )
        return await self.open(found)

    async def create(self, path: Path, template: str, *, name: str | None = None) -> Workspace:
        """Create a workspace at the absolute `path` from a template, make it a repository, open and trust it.

        `name` is the folder's name by default. Raises `NotFoundError` for an unknown template, `InvalidInputError` for a name
        that is none and for missing distributions, and `ConflictError` when the folder holds files already; nothing is left
        behind when it fails.
        """
        chosen = self._template(template)
        control_plugin, control = self._plugins.source_control()
        path = await asyncio.to_thread(path.resolve)
        chosen_name = decode(Settings, {"name": path.name if name is None else name}).name
        await asyncio.to_thread(check_requirements, chosen)
        created = await asyncio.to_thread(_lay_out, chosen, path, chosen_name)
        try:
            _, settings = await asyncio.to_thread(_read, path)
            # A new folder gets a repository of its own, even inside of another one that may well ignore it.
            if path in created or await self._plugins.query(control_plugin, control.locate, path) is None:
                await self._plugins.query(control_plugin, control.create, path)
        except BaseException:
            await asyncio.to_thread(_remove, path, created)
            raise
        return await self._enter(path, settings.name, is_trusted=True)

    async def get(self, workspace: str) -> Workspace:
        """Return an open workspace. Raises `NotFoundError`."""
        found = await self._select("where id = ? and is_open", [workspace])
        if not found:
            raise NotFoundError(
                f"No open workspace has the id {workspace!r}.", hint="`edgeloop workspaces` lists those that are open."
            )
        return found[0]

    async def listed(self) -> tuple[Workspace, ...]:
        """Return all open workspaces, the one that was opened last first."""
        return tuple(await self._select("where is_open order by opened_at desc, id", []))

    async def find(self, folder: Path) -> Workspace | None:
        """Return the innermost open workspace that the absolute `folder` is or lies in."""
        open_ones = {one.folder: one for one in await self.listed()}
        return next((open_ones[place] for place in (folder, *folder.parents) if place in open_ones), None)

    async def close(self, workspace: str) -> None:
        """Close a workspace; its files, its trust and its jobs stay. Raises `NotFoundError`."""
        await self.get(workspace)

        def change(db: Tables) -> None:
            db.update("workspaces", workspace, {"is_open": 0})
            record_event(db, WorkspaceClosed(workspace), workspace)

        await self._database.write(change)

    async def settings(self, workspace: Workspace) -> Settings:
        """Return the present settings. Raises `SettingsError`."""
        return await asyncio.to_thread(load_settings, workspace.folder)

    async def trust(self, workspace: str) -> Trust:
        """Return whether a workspace is trusted, and what its repository would run. Nothing of it runs for that."""
        found = await self.get(workspace)
        plugin, control = self._plugins.source_control()
        risks = await self._plugins.query(plugin, control.examine, found.folder)
        return Trust(found.is_trusted, tuple(str(risk) for risk in risks))

    async def set_trust(self, workspace: str, *, is_trusted: bool) -> Workspace:
        """Trust a workspace, or take the trust back. Raises `NotFoundError`."""
        known = await self.get(workspace)

        def change(db: Tables) -> None:
            db.update("workspaces", workspace, {"is_trusted": int(is_trusted)})
            if is_trusted != known.is_trusted:
                event = WorkspaceTrusted(workspace) if is_trusted else WorkspaceDistrusted(workspace)
                record_event(db, event, workspace)

        await self._database.write(change)
        return await self.get(workspace)

    async def require_trusted(self, workspace: str, what: str) -> Workspace:
        """Return a workspace whose code may run. `what` says what is asked for, as in "training".

        Raises `NotFoundError` when it is not open or its folder is gone, and `NotTrustedError`.
        """
        found = await self.get(workspace)
        if not found.is_trusted:
            raise NotTrustedError(
                f"The workspace {found.path} is not trusted, so {what} is refused: it could run code of that folder.",
                hint="Look at what it holds, then say `edgeloop trust` there.",
            )
        if not await asyncio.to_thread(found.folder.is_dir):
            raise NotFoundError(f"The folder {found.path} does not exist any more.", hint="Was it moved or deleted?")
        return found

    def _template(self, name: str) -> ProjectTemplate:
        templates = {template.name: template for template in self._plugins.project_templates()}
        if name not in templates:
            raise NotFoundError(f"There is no template {name!r}.", hint=f"There are: {', '.join(templates) or 'none'}.")
        return templates[name]

    async def _check_repository(self, path: Path) -> None:
        plugin, control = self._plugins.source_control()
        if await self._plugins.query(plugin, control.locate, path) is None:
            raise SourceControlError(
                f"{path} is in no repository, so nothing could say which code a training ran.",
                hint="`git init` there makes it one.",
            )

    async def _at(self, path: Path) -> Workspace | None:
        found = await self._select("where path = ?", [str(path)])
        return found[0] if found else None

    async def _enter(self, path: Path, name: str, *, is_trusted: bool) -> Workspace:
        statement = """
            insert into workspaces (id, path, name, is_trusted, is_open, opened_at) values (?, ?, ?, ?, 1, ?)
            on conflict (path) do update set
                name = excluded.name, is_trusted = max(is_trusted, excluded.is_trusted),
                opened_at = iif(is_open, opened_at, excluded.opened_at), is_open = 1
        """
        arguments = [new_id("w"), str(path), name, int(is_trusted), time.time()]
        before = "select is_open, is_trusted from workspaces where path = ?"

        def change(db: Tables) -> None:
            was_open, was_trusted = db.execute(before, [str(path)]).fetchone() or (0, 0)
            db.execute(statement, arguments)
            (workspace,) = db.execute("select id from workspaces where path = ?", [str(path)]).fetchone()
            if not was_open:
                record_event(db, WorkspaceOpened(workspace, name, str(path)), workspace)
            if is_trusted and not was_trusted:
                record_event(db, WorkspaceTrusted(workspace), workspace)

        await self._database.write(change)
        found = await self._at(path)
        assert found is not None
        return found

    async def _select(self, clause: str, arguments: Sequence[Any]) -> list[Workspace]:
        query = f"select {_COLUMNS} from workspaces {clause}"  # noqa: S608 - clauses are written in this module
        rows = await self._database.read(lambda database: database.execute(query, arguments).fetchall())
        return [Workspace(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]


def _read(path: Path) -> tuple[Path, Settings]:
    """Return the real path of a workspace's folder, and its settings."""
    try:
        path = path.resolve()
        is_folder, is_workspace = path.is_dir(), (path / SETTINGS_FILE).is_file()
    except (OSError, RuntimeError) as error:  # a name that is too long, a circle of links
        reason = error.strerror if isinstance(error, OSError) else "it leads in a circle"
        raise InvalidInputError(f"{str(path)[:100]} is no folder: {reason}.", hint="Check the path.") from None
    if not is_folder:
        raise InvalidInputError(f"{path} is no folder.", hint="Name the folder that holds the workspace.")
    if not is_workspace:
        raise InvalidInputError(
            f"{path} is no workspace: it holds no {SETTINGS_FILE}.", hint="`edgeloop init . --template empty` adds one."
        )
    return path, load_settings(path)


def _lay_out(template: ProjectTemplate, path: Path, name: str) -> list[Path]:
    """Copy a template to `path` and return the files and folders that were created, in that order."""
    if (path / SETTINGS_FILE).exists():
        raise ConflictError(f"{path} is a workspace already.", hint="Every command works there as it is.")
    if path.exists() and not path.is_dir():
        raise ConflictError(f"{path} exists and is no folder.", hint="Choose another name.")
    if path.is_dir() and any(path.iterdir()) and not template.adds_to_folders:
        raise ConflictError(
            f"{path} is not empty, and the template {template.name} makes a project of its own.",
            hint="Choose a new folder, or add only the settings: `edgeloop init . --template empty`.",
        )
    created: list[Path] = []
    try:
        copy_template(template, path, name, created)
    except OSError as error:
        _remove(path, created)
        raise InvalidInputError(f"{path} cannot be created: {error.strerror}.", hint="Choose another place.") from None
    except BaseException:
        _remove(path, created)
        raise
    return created


def _remove(path: Path, created: list[Path]) -> None:
    """Remove what a failed creation has left of a workspace at `path`, and nothing else."""
    if path in created:
        shutil.rmtree(path, ignore_errors=True)
    for place in reversed(created):
        with contextlib.suppress(OSError):
            if place.is_dir():
                place.rmdir()
            else:
                place.unlink()
