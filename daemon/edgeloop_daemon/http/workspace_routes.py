"""The routes of workspaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.workspaces.workspaces import Trust, Workspace, Workspaces
from edgeloop_shared.errors import ConflictError, NotFoundError, SourceControlError

_FOLDER = {"max_length": 4096, "pattern": r"^/[^\x00]*$", "description": "An absolute path on this computer."}


@dataclass(frozen=True)
class WorkspaceList:
    """The workspaces that are open."""

    items: tuple[Workspace, ...]


@dataclass(frozen=True)
class OpenWorkspace:
    """Which folder to open; `trust` lets its code run as well."""

    path: str = field(metadata=_FOLDER)
    trust: bool = False


@dataclass(frozen=True)
class NewWorkspace:
    """What to create; the name is the folder's by default."""

    path: str = field(metadata=_FOLDER)
    template: str
    name: str | None = None


@dataclass(frozen=True)
class SetTrust:
    """Whether the workspace's code may run."""

    trusted: bool


def workspace_routes(workspaces: Workspaces) -> tuple[Route, ...]:
    """Return the routes of workspaces themselves."""

    async def list_workspaces(_: Call) -> WorkspaceList:
        return WorkspaceList(await workspaces.listed())

    async def open_workspace(call: Call) -> Workspace:
        body: OpenWorkspace = call.body
        return await workspaces.open(Path(body.path), trust=body.trust)

    async def create_workspace(call: Call) -> Workspace:
        body: NewWorkspace = call.body
        return await workspaces.create(Path(body.path), body.template, name=body.name)

    async def get_workspace(call: Call) -> Workspace:
        return await workspaces.get(call.path["workspace"])

    async def close_workspace(call: Call) -> None:
        await workspaces.close(call.path["workspace"])

    async def get_trust(call: Call) -> Trust:
        return await workspaces.trust(call.path["workspace"])

    async def set_trust(call: Call) -> Workspace:
        body: SetTrust = call.body
        return await workspaces.set_trust(call.path["workspace"], is_trusted=body.trusted)

    tag = "workspaces"
    one = "/workspaces/{workspace:w[0-9a-z]+}"
    return (
        Route(
            "GET", "/workspaces", "list_workspaces", "List open workspaces.", list_workspaces, WorkspaceList, tag=tag
        ),
        Route(
            *("POST", "/workspaces", "open_workspace", "Open a folder.", open_workspace, Workspace, OpenWorkspace),
            tag=tag,
            errors=(SourceControlError,),
        ),
        Route(
            "POST",
            "/workspaces/new",
            "create_workspace",
            "Create a workspace from a template.",
            create_workspace,
            Workspace,
            NewWorkspace,
            status=201,
            tag=tag,
            errors=(NotFoundError, ConflictError),
        ),
        Route("GET", one, "get_workspace", "Show a workspace.", get_workspace, Workspace, tag=tag),
        Route("DELETE", one, "close_workspace", "Close a workspace; its files stay.", close_workspace, tag=tag),
        Route(
            *("GET", f"{one}/trust", "get_trust", "Tell what trusting a workspace would allow.", get_trust, Trust),
            tag=tag,
            errors=(SourceControlError,),
        ),
        Route(
            "POST", f"{one}/trust", "set_trust", "Trust a workspace, or not.", set_trust, Workspace, SetTrust, tag=tag
        ),
    )
