"""The routes that plugins' declarations give: one per model tool and operation, and training."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeloop.declarations import ModelTool, WorkspaceOperation
from edgeloop.handlers import reference_to
from edgeloop.parameters import in_workspace
from edgeloop.results import encode_result
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.jobs.job import Job, JobKind
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.jobs.training import TrainJob, TrainResult
from edgeloop_daemon.plugins import PluginInfo, Plugins
from edgeloop_daemon.workspaces.settings import SETTINGS_FILE
from edgeloop_daemon.workspaces.workspaces import Workspace, Workspaces
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import ConflictError, InvalidInputError, NotFoundError, SettingsError

_TRAIN = "edgeloop_daemon.jobs.training:train"
_WORKSPACE = "/workspaces/{workspace:w[0-9a-z]+}"


@dataclass(frozen=True)
class PluginList:
    """All installed plugins, failed ones included."""

    items: tuple[PluginInfo, ...]


@dataclass(frozen=True)
class PluginChange:
    """Whether a plugin is loaded when the daemon starts the next time."""

    is_enabled: bool


@dataclass(frozen=True)
class TrainRequest:
    """How to train; the backend is the one of edgeloop.toml by default, `parameters` are the backend's own."""

    backend: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def plugin_routes(plugins: Plugins, workspaces: Workspaces, jobs: Jobs) -> tuple[Route, ...]:
    """Return the list of plugins and everything that they offer as routes."""

    async def list_plugins(_: Call) -> PluginList:
        return PluginList(await asyncio.to_thread(plugins.listed))

    async def change_plugin(call: Call) -> PluginInfo:
        return await asyncio.to_thread(plugins.set_enabled, call.path["plugin"], call.body.is_enabled)

    async def train(call: Call) -> Accepted:
        body: TrainRequest = call.body
        workspace = await workspaces.require_trusted(call.path["workspace"], "training")
        job = await _train_job(plugins, workspaces, workspace, body)
        return await _start(jobs, workspace, "train", job.backend, _TRAIN, job, TrainResult, call)

    return (
        Route("GET", "/plugins", "list_plugins", "List plugins.", list_plugins, PluginList, tag="plugins"),
        Route(
            "PATCH",
            "/plugins/{plugin}",
            "change_plugin",
            "Enable or disable a plugin, from the daemon's next start on.",
            change_plugin,
            PluginInfo,
            PluginChange,
            tag="plugins",
        ),
        Route(
            "POST",
            f"{_WORKSPACE}/train",
            "train",
            "Train the workspace's model from a snapshot of its present state.",
            train,
            Job,
            TrainRequest,
            status=202,
            tag="training",
        ),
        *(_tool_route(tool, workspaces, jobs) for tool in plugins.model_tools()),
        *(_operation_route(plugins, plugin, one, workspaces, jobs) for plugin, one in plugins.workspace_operations()),
    )


def _tool_route(tool: ModelTool, workspaces: Workspaces, jobs: Jobs) -> Route:
    async def start(call: Call) -> Accepted:
        workspace = await workspaces.require_trusted(call.path["workspace"], f"the tool {tool.name}")
        parameters = in_workspace(call.body, workspace.folder)
        return await _start(jobs, workspace, "tool", tool.name, tool.handler, parameters, tool.result, call)

    return Route(
        "POST",
        f"{_WORKSPACE}/tools/{tool.name}",
        f"tool_{tool.name}".replace("-", "_"),
        tool.summary,
        start,
        Job,
        tool.parameters,
        status=202,
        tag="tools",
    )


def _operation_route(
    plugins: Plugins, plugin: str, operation: WorkspaceOperation, workspaces: Workspaces, jobs: Jobs
) -> Route:
    name = f"{operation.group} {operation.name}"

    async def checked(call: Call) -> tuple[Workspace, Any]:
        workspace = await workspaces.require_trusted(call.path["workspace"], f"`{name}`")
        return workspace, in_workspace(call.body, workspace.folder)

    async def start(call: Call) -> Accepted:
        workspace, parameters = await checked(call)
        return await _start(jobs, workspace, "operation", name, operation.handler, parameters, operation.result, call)

    async def ask(call: Call) -> Any:
        workspace, parameters = await checked(call)
        answer = await plugins.query(plugin, operation.handler, parameters, workspace.folder)
        await asyncio.to_thread(encode_result, answer, operation.result, operation.handler)
        return answer

    is_query = operation.runs == "query"
    return Route(
        "POST",
        f"{_WORKSPACE}/{operation.group}/{operation.name}",
        f"{operation.group}_{operation.name}".replace("-", "_"),
        operation.summary,
        ask if is_query else start,
        operation.result if is_query else Job,
        operation.parameters,
        status=200 if is_query else 202,
        tag=operation.group,
        errors=(ConflictError,),
    )


async def _start(
    jobs: Jobs, workspace: Workspace, kind: JobKind, name: str, handler: str, parameters: Any, result: type, call: Call
) -> Accepted:
    job = await jobs.start(
        workspace=workspace.id,
        workspace_path=workspace.folder,
        kind=kind,
        name=name,
        handler=handler,
        parameters=parameters,
        result=result,
        also=call.begins("/jobs"),
    )
    return Accepted(f"/jobs/{job.id}", job)


async def _train_job(plugins: Plugins, workspaces: Workspaces, workspace: Workspace, request: TrainRequest) -> TrainJob:
    """Return the train job of a workspace. Raises `SettingsError`, `NotFoundError` and `InvalidInputError`."""
    settings = await workspaces.settings(workspace)
    if not settings.train.command:
        raise SettingsError(
            f"{workspace.folder / SETTINGS_FILE} does not say how to train.",
            hint='Add `command = "python train.py"`, say, below [train].',
            details={"file": str(workspace.folder / SETTINGS_FILE), "line": 1},
        )
    wanted = request.backend or settings.train.backend
    backends = {backend.name: backend for backend in plugins.training_backends()}
    if wanted not in backends:
        raise NotFoundError(
            f"No plugin trains on the backend {wanted!r}.", hint=f"There are: {', '.join(backends) or 'none'}."
        )
    backend = backends[wanted]
    given = encode(request.parameters)
    try:
        parameters: Any = decode(backend.parameters, given)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"The parameters of the backend {wanted} do not fit: {error.message}", details=error.details
        ) from None
    _, control = plugins.source_control()
    return TrainJob(
        backend=wanted,
        implementation=backend.implementation,
        parameters_type=reference_to(backend.parameters),
        snapshot=control.snapshot,
        checkout=control.checkout,
        discard=control.discard,
        command=settings.train.command,
        parameters=encode(in_workspace(parameters, workspace.folder)),
        data=settings.train.data,
    )
